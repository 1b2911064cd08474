package redisdedupe_test

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"os"

	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// A receiver whose instances share a Redis server. Without the client's logger,
// go-redis writes its lines to standard error, as many as it likes.
func ExampleNewClientLogger() {
	redis.SetLogger(redisdedupe.NewClientLogger(slog.Default()))
	options, err := redis.ParseURL(os.Getenv("REDIS_URL"))
	if err != nil {
		log.Fatal(err)
	}
	options.ContextTimeoutEnabled = true // calls end with their context
	client := redis.NewClient(options)
	defer client.Close()
	store, err := redisdedupe.New(client)
	if err != nil {
		log.Fatal(err)
	}
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
