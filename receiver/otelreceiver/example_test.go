package otelreceiver_test

import (
	"context"
	"log"
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/signer"
)

// The providers are those of the program, unless options name others.
func ExampleOpen() {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		log.Fatal(err)
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithTelemetry(otelreceiver.Open()))
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /webhooks/deploy", rcv.Events(func(context.Context, *payload.Event) error { return nil }))
	// Output:
}

// The snippet of the package documentation.
var _ = snippet

func snippet(scheme signer.Verifier, store dedupe.Store, onEvent receiver.EventHandler) error {
	// scheme and store come from packages signer and dedupe.
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithTelemetry(otelreceiver.Open()))
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/deploy", rcv.Events(onEvent))
	return nil
}
