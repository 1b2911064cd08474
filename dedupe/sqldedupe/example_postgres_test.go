package sqldedupe_test

import (
	"context"
	"database/sql"
	"log"
	"net/http"
	"os"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// Any number of instances on any number of machines share a PostgreSQL
// database. Each event is handled by one of them.
func ExampleNewPostgres() {
	ctx := context.Background()
	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqldedupe.NewPostgres(ctx, db, sqldedupe.WithTTL(72*time.Hour))
	if err != nil {
		log.Fatal(err)
	}
	defer store.Close()
	secret, err := signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET"))
	if err != nil {
		log.Fatal(err)
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		log.Fatal(err)
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /webhooks/deploy", rcv.Events(func(_ context.Context, e *payload.Event) error {
		log.Println(e.App, e.Type)
		return nil
	}))
}
