package memory

import (
	"context"
	"io"
	"log"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

const (
	receiverAddress = "10.0.0.1:80"
	tolerance       = 5 * time.Minute
	organization    = "acme"
)

// discard is a logger that writes nothing.
func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// keyring is a verifier whose keys an operator replaces while it runs.
type keyring struct {
	current atomic.Pointer[signer.Standard]
}

func (k *keyring) Verify(r *http.Request, body []byte) (signer.Verified, error) {
	return k.current.Load().Verify(r, body)
}

// Tolerance makes the receiver check the store's TTL.
func (k *keyring) Tolerance() time.Duration { return tolerance }

// startReceiver starts one process of the receiving service.
func (s *scenario) startReceiver(name string) *sim.Process {
	return s.w.Start(name, sim.NewClock(), func(p *sim.Process) {
		store := s.store
		if s.private {
			store = newStore(s.w, name+" "+s.w.Elapsed().String(), s.ttl, s.capacity, s.storeOdds, s.calm)
			s.privates = append(s.privates, store)
			s.effects.excuseAll("the memory went with its process")
		}
		c := &client{sharedStore: store, process: p, effects: s.effects}
		s.clients[name] = c
		h := &handlers{w: s.w, process: p, store: c, effects: s.effects, mode: s.mode, lease: s.lease, odds: s.handlerOdds, calm: s.calm}
		l, err := p.Listen(receiverAddress)
		if err != nil {
			s.w.Violate("listen: %v", err)
			return
		}
		server := &http.Server{Handler: s.routes(c, h), ErrorLog: log.New(io.Discard, "", 0), ReadTimeout: 30 * time.Second, IdleTimeout: 24 * time.Hour}
		p.Go(func() { _ = server.Serve(l) }) // ends when the process does
		p.AtEnd(func() { _ = server.Close() })
	})
}

// routes mounts all kinds of handler on one receiver, and the deployments
// endpoint next to it.
func (s *scenario) routes(c *client, h *handlers) http.Handler {
	rcv, err := receiver.New(s.keys, receiver.WithDedupe(c, "platform"), receiver.WithLease(s.lease),
		receiver.WithStoreTimeout(s.storeTimeout), receiver.WithLogger(discard()),
		receiver.WithObserver(func(_ context.Context, r receiver.Result) { s.w.Cover("receiver: " + string(r.Outcome)) }))
	if err != nil {
		panic(err) // a mistake of the world
	}
	endpoint, err := deployments.New(s.keys, &ledgerClient{ledger: s.ledger, process: h.process}, deployments.WithLogger(discard()))
	if err != nil {
		panic(err) // a mistake of the world
	}
	mux := http.NewServeMux()
	mux.Handle("/events", rcv.Events(h.event))
	mux.Handle("/records", rcv.Records(decodeDeployment, h.record))
	mux.Handle("/raw", rcv.Wrap(http.HandlerFunc(h.raw)))
	mux.Handle("/deployments", endpoint)
	return mux
}
