package otelreceiver_test

import (
	"net/http"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/signer"
)

// The function below is the snippet of the package documentation. It is
// compiled but not run.
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
