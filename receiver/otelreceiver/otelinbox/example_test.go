package otelinbox_test

import (
	"context"

	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
)

// The function below is the snippet of the package documentation. It is
// compiled but not run.
var _ = snippet

func snippet(ctx context.Context, onEvent receiver.EventHandler) (*inbox.Inbox, error) {
	in, err := inbox.OpenSQLite(ctx, "inbox.db", onEvent, inbox.WithTelemetry(otelinbox.Open()))
	return in, err
}
