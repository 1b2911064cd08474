package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

const (
	path    = "/webhooks/deploy"
	maxBody = 16 << 10
)

// demo has both ends. The receiver is behind a real HTTP server, and the sender
// knows its URL and secret.
type demo struct {
	event  *payload.Event
	scheme *signer.Standard
	sender *sender.Sender
	url    string
	store  *dedupe.Memory
	server *http.Server
	served chan error

	// Instructions to the receiving side for the current case.
	// number of 503 answers to give, like a proxy while the service restarts
	outages atomic.Int32
	crashes atomic.Int32                  // number of times the handler must panic
	unblock atomic.Pointer[chan struct{}] // the handler waits until this is closed
	entered chan struct{}                 // the handler has started to wait
	handled atomic.Int32                  // times that the handler succeeded
}

func newDemo(event *payload.Event, scale float64) (*demo, error) {
	d := &demo{event: event, entered: make(chan struct{}, 1), served: make(chan error, 1)}
	var err error
	if d.scheme, err = signer.NewStandard(signer.GenerateSecret()); err != nil {
		return nil, err
	}

	// The receiving side needs three lines and a handler.
	if d.store, err = dedupe.NewMemory(); err != nil {
		return nil, err
	}
	rcv, err := receiver.New(d.scheme, receiver.WithDedupe(d.store, "quickstart"), receiver.WithMaxBody(maxBody),
		receiver.WithLogger(slog.New(slog.DiscardHandler))) // the timeline replaces the log
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("POST "+path, d.outage(rcv.Events(d.handle)))

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	d.url = "http://" + listener.Addr().String() + path
	d.server = &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second,
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
	}
	go func() { d.served <- d.server.Serve(listener) }()

	// The sending side. Loopback and plain http must be allowed explicitly.
	d.sender, err = sender.New(
		sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")),
		sender.WithSchedule(sender.Scaled(sender.Platform, scale)))
	if err != nil {
		return nil, errors.Join(err, d.server.Close())
	}
	return d, nil
}

// close stops both ends and waits for the server.
func (d *demo) close() error {
	sending := d.sender.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	receiving := d.server.Shutdown(ctx)
	<-d.served
	return errors.Join(sending, receiving, d.store.Close())
}

// handle is the service's handler. It counts events and fails if the case
// requires it.
func (d *demo) handle(ctx context.Context, _ *payload.Event) error {
	if unblock := d.unblock.Load(); unblock != nil {
		d.entered <- struct{}{}
		select {
		case <-*unblock:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if d.crashes.Add(-1) >= 0 {
		panic("the handler crashes half way") // a crash to show that a retry follows
	}
	d.handled.Add(1)
	return nil
}

// outage simulates a proxy in front of a service that restarts.
func (d *demo) outage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.outages.Add(-1) >= 0 {
			http.Error(w, "restarting", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// endpoint describes the receiver for the sender, with s as the signer.
func (d *demo) endpoint(s signer.Signer) sender.Endpoint {
	return sender.Endpoint{URL: sender.NewURL(d.url), Signer: s}
}

// message returns a new delivery of the event.
func (d *demo) message() (sender.Message, error) {
	msg, err := sender.NewMessage(d.event)
	if err != nil {
		return sender.Message{}, fmt.Errorf("the event of this commit: %w", err)
	}
	return msg, nil
}
