package oteloutbox_test

import (
	"context"
	"log"

	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// The providers are those of the program, unless options name others.
func ExampleOpen() {
	key, err := outbox.NewSealingKey("2026-11", []byte("32 random bytes, from elsewhere!"))
	if err != nil {
		log.Fatal(err)
	}
	o, err := outbox.OpenSQLite(context.Background(), "outbox.db", outbox.WithSealingKeys(key), outbox.WithTelemetry(oteloutbox.Open()))
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
}

// The snippet of the package documentation.
var _ = snippet

func snippet(ctx context.Context, key outbox.SealingKey) (*outbox.Outbox, error) {
	// key comes from outbox.NewSealingKey.
	o, err := outbox.OpenSQLite(ctx, "outbox.db", outbox.WithSealingKeys(key), outbox.WithTelemetry(oteloutbox.Open()))
	return o, err
}
