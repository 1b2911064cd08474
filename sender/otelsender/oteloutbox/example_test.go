package oteloutbox_test

import (
	"context"

	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// The function below is the snippet of the package documentation. It is
// compiled but not run.
var _ = snippet

func snippet(ctx context.Context, key outbox.SealingKey) (*outbox.Outbox, error) {
	// key comes from outbox.NewSealingKey.
	o, err := outbox.OpenSQLite(ctx, "outbox.db", outbox.WithSealingKeys(key), outbox.WithTelemetry(oteloutbox.Open()))
	return o, err
}
