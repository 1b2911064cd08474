package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

// receive serves all endpoints until ctx ends.
func (c *child) receive(ctx context.Context) error {
	keys, err := watchKeys(ctx, c.secretsFile())
	if err != nil {
		return err
	}
	h := &handlers{child: c, keys: keys, mux: http.NewServeMux()}
	open := h.openInbox
	if c.Redis != "" {
		open = h.openDirect
	}
	if err := eventually(ctx, func() error { return open(ctx) }); err != nil {
		return ended(ctx, err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(err, h.close())
	}
	server := &http.Server{Handler: h.mux, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelWarn)}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	c.report(report{Kind: isReady, Addr: listener.Addr().String()})
	select {
	case err := <-failed:
		return errors.Join(err, h.close())
	case <-ctx.Done():
	}
	soon, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	if err := server.Shutdown(soon); err != nil {
		c.log.Warn("shutting down", "err", err) // a request hangs on the proxy
		_ = server.Close()                      // it only ends connections
	}
	if err := h.close(); err != nil {
		c.log.Error("closing", "err", err) // the database may be down
	}
	return nil
}

// handlers is the receiving service.
type handlers struct {
	*child
	keys  *keyring
	mux   *http.ServeMux
	app   *app // with the effects. It is nil if there are no transactions
	close func() error

	mu     sync.Mutex
	leaked [][]byte
}

// openInbox mounts the endpoints on an inbox, and starts it.
func (h *handlers) openInbox(ctx context.Context) error {
	own, err := h.openApp(h.inboxFile())
	if err != nil {
		return err
	}
	in, closeInbox, err := h.place.openInbox(ctx, h.handle, h.log)
	if err != nil {
		return errors.Join(err, own.Close())
	}
	h.close = func() error { return errors.Join(closeInbox(), own.Close()) }
	h.app = own
	count := in.Faults
	h.faults.Store(&count)
	if err := in.Start(context.WithoutCancel(ctx)); err != nil {
		return errors.Join(err, h.close())
	}
	return h.mount(func(s subscription) (http.Handler, error) { return in.Handler(h.keys.of(s.name), s.name) })
}

// openDirect mounts the endpoints on receivers that call the handler at once.
func (h *handlers) openDirect(ctx context.Context) error {
	store, closeStore, err := h.openClaims(ctx)
	if err != nil {
		return err
	}
	h.close = closeStore
	return h.mount(func(s subscription) (http.Handler, error) { return h.direct(s, store) })
}

func (h *handlers) direct(s subscription, store *redisdedupe.Store) (http.Handler, error) {
	observe := func(_ context.Context, result receiver.Result) {
		if result.Outcome == receiver.Handled {
			h.report(report{Kind: isCompleted, Endpoint: s.name, Delivery: result.Delivery.ID})
		}
	}
	r, err := receiver.New(h.keys.of(s.name), receiver.WithDedupe(store, s.name), receiver.WithLease(claimLease),
		receiver.WithStoreTimeout(2*time.Second), receiver.WithLogger(h.log), receiver.WithObserver(observe))
	if err != nil {
		return nil, err
	}
	return r.Events(h.handle), nil
}

func (h *handlers) mount(handler func(subscription) (http.Handler, error)) error {
	mux := http.NewServeMux()
	for _, s := range subscriptions() {
		next, err := handler(s)
		if err != nil {
			return errors.Join(err, h.close())
		}
		mux.Handle("POST /"+s.name, h.record(s, next))
	}
	h.mux = mux
	return nil
}

// record reports the bytes of each request before it is handled.
func (h *handlers) record(s subscription, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the connection ended in mid-body
		}
		h.report(report{Kind: isReceived, Endpoint: s.name, Delivery: r.Header.Get("Webhook-Id"), Hash: fmt.Sprintf("%x", sha256.Sum256(body))})
		if h.Broken == breakLeak {
			h.mu.Lock()
			h.leaked = append(h.leaked, bytes.Repeat(body, 16))
			h.mu.Unlock()
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		next.ServeHTTP(w, r)
	})
}

// handle takes effect. It sometimes fails first.
func (h *handlers) handle(ctx context.Context, e *payload.Event) error {
	begin := time.Now()
	d, ok := receiver.FromContext(ctx)
	if !ok || d.ID != e.DeliveryID {
		h.report(report{Kind: isViolation, Text: "the delivery's ID in the body is another than in the header of " + e.DeliveryID})
		return nil
	}
	if rand.IntN(50) == 0 {
		return errors.New("it failed at random")
	}
	time.Sleep(rand.N(10 * time.Millisecond)) // work, which a kill interrupts
	done := report{
		Kind: isHandled, Begin: begin, Endpoint: d.Source, Event: idOf(e), Delivery: d.ID, Claim: fmt.Sprint(d.Claim.Token),
	}
	times := h.timesOf(done.Event)
	if h.app != nil {
		if err := h.commit(ctx, done, times); err != nil {
			return err
		}
		times = min(times, 1)
	}
	for range times {
		h.report(done)
	}
	return nil
}

// timesOf is how often an event takes effect. It is 1 in a receiver that works.
// In a broken one, each tenth event of a sender is chosen, and the first one.
func (h *handlers) timesOf(event string) int {
	switch chosen := strings.HasSuffix(event, "0"); {
	case chosen && h.Broken == breakDrop:
		return 0
	case chosen && h.Broken == breakTwice:
		return 2
	}
	return 1
}

// commit takes effect in the transaction that completes the delivery.
func (h *handlers) commit(ctx context.Context, done report, times int) error {
	a, ok := inbox.FromContext(ctx)
	if !ok {
		return errors.New("this is no attempt of an inbox")
	}
	return h.app.inTx(ctx, func(tx *sql.Tx) error {
		for range times {
			if err := h.app.insert(ctx, tx, "soak_effect", done.Endpoint, done.Event, done.Delivery); err != nil {
				return err
			}
		}
		return a.CompleteTx(ctx, tx)
	})
}

// endpointKeys verifies with the current secrets of one endpoint.
type endpointKeys struct {
	ring *keyring
	name string
}

func (k endpointKeys) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	return k.ring.scheme(k.name).Verify(r, body)
}

func (k endpointKeys) Tolerance() time.Duration { return k.ring.scheme(k.name).Tolerance() }
