// Receive prints the deployment events that arrive. It is the first program of
// the README.
package main

import (
	"context"
	"log"
	"net/http"
	"os"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	secret := must(signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")))
	scheme := must(signer.NewStandard(secret))
	store := must(dedupe.NewMemory()) // with several instances: Redis or SQL
	rcv := must(receiver.New(scheme, receiver.WithDedupe(store, "platform")))
	http.Handle("POST /webhooks/deploy", rcv.Events(func(ctx context.Context, e *payload.Event) error {
		log.Println(e.Type, e.App, e.Version, e.URL)
		return nil // an error answers 500, and the sender tries again
	}))
	log.Fatal(http.ListenAndServe("127.0.0.1:8420", nil))
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
