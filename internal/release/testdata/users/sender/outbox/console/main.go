// A platform mounts the pages of an outbox and opens the first one.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/sender/outbox/api"
	"github.com/deployhook/deployhook/sender/outbox/console"
)

func main() {
	if err := run(context.Background(), "outbox.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	key, err := outbox.NewSealingKey("outside", secret)
	if err != nil {
		return err
	}
	o, err := outbox.OpenSQLite(ctx, file, outbox.WithSealingKeys(key))
	if err != nil {
		return err
	}
	defer o.Close()
	pages, err := console.New(o, func(*http.Request) (api.Access, error) { return api.Access{App: "shop", Actor: "carl"}, nil })
	if err != nil {
		return err
	}
	server := httptest.NewServer(pages)
	defer server.Close()
	answer, err := http.Get(server.URL)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/apps/shop" {
		return fmt.Errorf("%s answered %s", answer.Request.URL, answer.Status)
	}
	return nil
}
