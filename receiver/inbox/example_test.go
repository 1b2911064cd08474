package inbox_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

// A delivery is answered once it is stored, and a worker handles it later.
func Example() {
	dir, err := os.MkdirTemp("", "inbox")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	handled := make(chan string)
	mux, err := receiver.NewMux(receiver.Route("deploy.*", func(ctx context.Context, e *payload.Event) error {
		a, _ := inbox.FromContext(ctx)
		if a.Number == 1 {
			return errors.New("the chat server is down")
		}
		handled <- fmt.Sprintf("%s is live, at attempt %d", e.App, a.Number)
		return nil
	}))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	in, err := inbox.OpenSQLite(ctx, filepath.Join(dir, "inbox.db"), mux.Handle,
		inbox.WithRetrySchedule(soon), inbox.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		log.Fatal(err)
	}
	hook, err := in.Handler(scheme, "platform")
	if err != nil {
		log.Fatal(err)
	}
	if err := in.Start(ctx); err != nil {
		log.Fatal(err)
	}

	body := []byte(`{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"api","environment":"production"}`)
	for range 2 {
		r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", bytes.NewReader(body))
		r.Header.Set("Content-Type", "application/json")
		if err := scheme.Sign(r.Context(), r, "whk_1", time.Now(), body); err != nil {
			log.Fatal(err)
		}
		w := httptest.NewRecorder()
		hook.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	fmt.Println(<-handled)
	// Output:
	// 202 {"received":true}
	// 200 {"received":true,"duplicate":true}
	// api is live, at attempt 2
}
