package outbox_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A release and its event are committed together, in the application's own
// transaction.
func ExampleNewPostgres() {
	ctx := context.Background()
	secret, err := base64.StdEncoding.DecodeString(os.Getenv("SEALING_KEY")) // openssl rand -base64 32
	if err != nil {
		log.Fatal(err)
	}
	key, err := outbox.NewSealingKey("2026-11", secret)
	if err != nil {
		log.Fatal(err)
	}
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	defer pool.Close()
	o, err := outbox.NewPostgres(ctx, pool, outbox.WithSealingKeys(key))
	if err != nil {
		log.Fatal(err)
	}
	defer o.Close()
	if err := o.Start(ctx); err != nil {
		log.Fatal(err)
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "INSERT INTO releases (app, version) VALUES ($1, $2)", "shop", "v7"); err != nil {
			return err
		}
		_, err := o.App("shop").PublishPgxTx(ctx, tx, &payload.Event{
			Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Version: "v7", Environment: "production",
		})
		return err
	})
	if err != nil {
		log.Fatal(err)
	}
}

// A customer who already has a secret enters it. Printing shows nothing of it.
func ExampleNewSecret() {
	config := outbox.EndpointConfig{
		URL: sender.NewURL("https://hooks.example.com/deploy"), Secret: outbox.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
	}
	fmt.Println(config.Secret)
	// Output: outbox.Secret(redacted)
}

// A customer whose server asks for a client certificate enters its PEM files.
func ExampleNewClientCertificate() {
	chain, err := os.ReadFile("client.pem")
	if err != nil {
		log.Fatal(err)
	}
	key, err := os.ReadFile("client.key")
	if err != nil {
		log.Fatal(err)
	}
	config := outbox.EndpointConfig{
		URL: sender.NewURL("https://hooks.example.com/deploy"), ClientCertificate: outbox.NewClientCertificate(string(chain), string(key)),
	}
	fmt.Println(config.URL)
}
