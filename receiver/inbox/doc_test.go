package inbox_test

import (
	"context"
	"net/http"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

// These snippets of the documentation are compiled.

var pool *pgxpool.Pool

var (
	_ = open
	_ = deployed
)

func soon() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) }

func open(ctx context.Context, onEvent receiver.EventHandler, scheme signer.Verifier) error {
	in, err := inbox.OpenSQLite(ctx, "inbox.db", onEvent) // or inbox.NewPostgres(ctx, pool, onEvent)
	if err != nil {
		return err
	}
	defer in.Close()
	hook, err := in.Handler(scheme, "platform") // scheme from package signer
	if err != nil {
		return err
	}
	http.Handle("POST /webhooks/deploy", hook)
	if err := in.Start(ctx); err != nil {
		return err
	}
	return nil
}

func deployed(ctx context.Context, e *payload.Event) error {
	a, _ := inbox.FromContext(ctx)
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "UPDATE apps SET version = $1 WHERE name = $2", e.Version, e.App); err != nil {
			return err
		}
		return a.CompletePgxTx(ctx, tx)
	})
}
