// A service mounts the pages of its inbox and opens the first one.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/inbox"
)

func main() {
	if err := run(context.Background(), "inbox.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	in, err := inbox.OpenSQLite(ctx, file, func(context.Context, *payload.Event) error { return nil })
	if err != nil {
		return err
	}
	defer in.Close()
	pages, err := console.New(func(*http.Request) (console.Access, error) { return console.Access{Read: true, Actor: "olga"}, nil },
		console.WithInbox(in))
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
	if answer.StatusCode != http.StatusOK || answer.Request.URL.Path != "/inbox" {
		return fmt.Errorf("%s answered %s", answer.Request.URL, answer.Status)
	}
	return nil
}
