package inbox_test

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

// The effect is in the same database, so it is committed together with the end
// of the delivery.
func ExampleNewPostgres() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	deployed := func(ctx context.Context, e *payload.Event) error {
		a, _ := inbox.FromContext(ctx)
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "UPDATE apps SET version = $1 WHERE name = $2", e.Version, e.App); err != nil {
				return err
			}
			return a.CompletePgxTx(ctx, tx)
		})
	}
	in, err := inbox.NewPostgres(ctx, pool, deployed)
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		log.Fatal(err)
	}
	hook, err := in.Handler(scheme, "platform")
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /webhooks/deploy", hook)
	if err := in.Start(ctx); err != nil {
		log.Fatal(err)
	}
}
