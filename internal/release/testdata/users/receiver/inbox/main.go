// An inbox on a SQLite file answers 202 and handles the event afterwards.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	if err := run(context.Background(), "inbox.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	handled := make(chan string, 1)
	in, err := inbox.OpenSQLite(ctx, file, func(_ context.Context, e *payload.Event) error {
		handled <- e.App
		return nil
	})
	if err != nil {
		return err
	}
	defer in.Close()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		return err
	}
	hook, err := in.Handler(scheme, "platform")
	if err != nil {
		return err
	}
	if err := in.Start(ctx); err != nil {
		return err
	}
	body := []byte(`{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"shop","environment":"production"}`)
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if err := scheme.Sign(r.Context(), r, "whk_1", time.Now(), body); err != nil {
		return err
	}
	w := httptest.NewRecorder()
	hook.ServeHTTP(w, r)
	if w.Code != http.StatusAccepted {
		return fmt.Errorf("the answer is %d %s, want 202", w.Code, w.Body)
	}
	if app := <-handled; app != "shop" {
		return fmt.Errorf("the handler saw %q", app)
	}
	return nil
}
