package main

import (
	"context"
	"database/sql"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// vacuumInto copies a SQLite file while other connections write to it.
func vacuumInto(ctx context.Context, file, backup string) error {
	db, err := sql.Open("sqlite", "file:"+filepath.ToSlash(file)+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", backup)
	return err
}

// hook is a customer's receiver. It remembers what it has handled.
type hook struct {
	server *http.Server
	url    string
	up     atomic.Bool
	events atomic.Pointer[http.Handler]
	// handled counts the calls of the handler.
	handled atomic.Int64
}

func startReceiver(ctx context.Context) (*hook, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hook{url: "http://" + l.Addr().String() + "/hook"}
	h.up.Store(true)
	h.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		(*h.events.Load()).ServeHTTP(w, r)
	})}
	go h.server.Serve(l) //nolint:errcheck // it ends with Close
	return h, nil
}

// verify accepts deliveries with a secret from now on.
func (h *hook) verify(text string) error {
	secret, err := signer.ParseSecret(text)
	if err != nil {
		return err
	}
	scheme, err := signer.NewStandard(secret)
	if err != nil {
		return err
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	if err != nil {
		return err
	}
	events := rcv.Events(func(context.Context, *payload.Event) error {
		h.handled.Add(1)
		return nil
	})
	h.events.Store(&events)
	return nil
}
