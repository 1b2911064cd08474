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

// demo is both ends: a receiver behind a real HTTP server, and a sender that knows its URL and secret.
type demo struct {
	event  *payload.Event
	scheme *signer.Standard
	sender *sender.Sender
	url    string
	store  *dedupe.Memory
	server *http.Server
	served chan error

	// What the receiving side is told to do in the present case.
	outages atomic.Int32                  // answers of 503 still to give, as a proxy in front does while we restart
	crashes atomic.Int32                  // panics of the handler still to come
	hold    atomic.Pointer[chan struct{}] // the handler waits for this
	entered chan struct{}                 // the handler has begun to wait
	handled atomic.Int32                  // times that the handler ran to its end
}

func newDemo(event *payload.Event, scale float64) (*demo, error) {
	d := &demo{event: event, entered: make(chan struct{}, 1), served: make(chan error, 1)}
	var err error
	if d.scheme, err = signer.NewStandard(signer.GenerateSecret()); err != nil {
		return nil, err
	}

	// The receiving side: three lines and a handler.
	if d.store, err = dedupe.NewMemory(); err != nil {
		return nil, err
	}
	rcv, err := receiver.New(d.scheme, receiver.WithDedupe(d.store, "quickstart"), receiver.WithMaxBody(maxBody),
		receiver.WithLogger(slog.New(slog.DiscardHandler))) // the timeline is the log here
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

	// The sending side. Loopback and plain http are refused unless they are opened by name.
	d.sender, err = sender.New(
		sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")),
		sender.WithSchedule(sender.Scaled(sender.Platform, scale)))
	if err != nil {
		return nil, errors.Join(err, d.server.Close())
	}
	return d, nil
}

// close stops both ends and waits for the server.
func (d *demo) close() {
	_ = d.sender.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = d.server.Shutdown(ctx)
	<-d.served
	_ = d.store.Close()
}

// handle is what a service does with an event: here it counts, and fails as the case wants it.
func (d *demo) handle(ctx context.Context, _ *payload.Event) error {
	if hold := d.hold.Load(); hold != nil {
		d.entered <- struct{}{}
		select {
		case <-*hold:
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

// outage stands for whatever is in front of a service while it restarts.
func (d *demo) outage(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if d.outages.Add(-1) >= 0 {
			http.Error(w, "restarting", http.StatusServiceUnavailable)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// endpoint is the receiver as the sender knows it, signed for by s.
func (d *demo) endpoint(s signer.Signer) sender.Endpoint {
	return sender.Endpoint{URL: sender.NewURL(d.url), Signer: s}
}

// message is a new delivery of the event.
func (d *demo) message() (sender.Message, error) {
	msg, err := sender.NewMessage(d.event)
	if err != nil {
		return sender.Message{}, fmt.Errorf("the event of this commit: %w", err)
	}
	return msg, nil
}
