package otelinbox_test

import (
	"context"
	"log"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
)

// The providers are those of the program, unless options name others.
func ExampleOpen() {
	onEvent := func(context.Context, *payload.Event) error { return nil }
	in, err := inbox.OpenSQLite(context.Background(), "inbox.db", onEvent, inbox.WithTelemetry(otelinbox.Open()))
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
}

// The snippet of the package documentation.
var _ = snippet

func snippet(ctx context.Context, onEvent receiver.EventHandler) (*inbox.Inbox, error) {
	in, err := inbox.OpenSQLite(ctx, "inbox.db", onEvent, inbox.WithTelemetry(otelinbox.Open()))
	return in, err
}
