//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"net/http"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/signer"
)

const (
	inboxFile      = "inbox.db"
	handlerTimeout = 4 * time.Second
)

// inboxes is a customer's service that handles its deliveries with an inbox, in
// one or two processes. The first one takes the deliveries.
type inboxes struct {
	world    *world
	endpoint *endpoint
	nodes    []*node
	// transactional is true if effects are in the inbox's database, in the
	// transaction that completes the delivery.
	transactional bool

	mu      sync.Mutex
	effects map[string]int // of a handler without transactions, by event
}

// startInboxes draws the service and starts it.
func (w *world) startInboxes() error {
	w.inboxes = &inboxes{world: w, transactional: w.rand.IntN(2) == 0, effects: map[string]int{}}
	processes := []int{0, 0, 1, 2}[w.rand.IntN(4)] // without any, a seed takes half the time
	if processes == 0 || w.outage {
		return nil
	}
	n := len(w.created) + 1
	w.inboxes.endpoint = &endpoint{
		world: w, app: apps[0], address: fmt.Sprintf("10.0.0.%d:80", n),
		ids: map[string]string{}, bodies: map[string]string{}, accepted: map[string]time.Time{},
	}
	w.created = append(w.created, w.inboxes.endpoint)
	for i := range processes {
		n := &node{world: w, name: fmt.Sprintf("inbox-%d", i+1), file: inboxFile, run: w.inboxes.run}
		w.inboxes.nodes = append(w.inboxes.nodes, n)
		if err := n.start(); err != nil {
			return err
		}
	}
	return nil
}

// run opens and starts an inbox.
func (s *inboxes) run(p *process, path string) error {
	ctx := context.Background()
	handle := func(ctx context.Context, e *payload.Event) error { return s.handle(ctx, p, e) }
	in, err := inbox.OpenSQLite(ctx, path, handle, inbox.WithLogger(s.world.logger()), inbox.WithHandlerTimeout(handlerTimeout),
		inbox.WithRescueAfter(handlerTimeout), inbox.WithStopTimeout(handlerTimeout), inbox.WithRetrySchedule(schedule), inbox.WithMaxAttempts(100))
	if err != nil {
		return err
	}
	p.product = in
	verifier := receiver.PerRequest(s.verifier)
	hook, err := in.Handler(verifier, "outbox")
	if err == nil {
		err = in.Start(ctx)
	}
	if err != nil {
		return errors.Join(err, in.Close())
	}
	if p.node.name == "inbox-1" {
		serve(s.world, p.sim, s.endpoint.address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.endpoint.serve(w, r, hook) }))
	}
	return nil
}

// verifier returns the scheme with the endpoint's current secrets.
func (s *inboxes) verifier(*http.Request) (principal string, v signer.Verifier, err error) {
	s.endpoint.mu.Lock()
	defer s.endpoint.mu.Unlock()
	var opts []signer.Option
	last := len(s.endpoint.keys) - 1
	if last > 0 {
		opts = append(opts, signer.WithKey(s.endpoint.keys[last-1]))
	}
	scheme, err := signer.NewStandard(s.endpoint.keys[last], opts...)
	return s.endpoint.app, scheme, err
}

// handle is the handler. The event decides when it fails and how long it takes.
// After the third attempt it does neither. The draws of one event are alike, so
// eight failures in a row happened, and lasted longer than patience.
func (s *inboxes) handle(ctx context.Context, p *process, e *payload.Event) error {
	a, _ := inbox.FromContext(ctx)
	d, _ := receiver.FromContext(ctx)
	h := fnv.New32a()
	_, _ = fmt.Fprint(h, d.ID, a.Number) // a hash never fails
	draw := h.Sum32() % 20
	first := a.Number <= 3
	if first && draw < 3 {
		return errors.New("the handler fails")
	}
	if first && draw < 8 {
		timer := time.NewTimer(time.Duration(draw) * time.Second)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if s.transactional {
		return s.effectTx(ctx, p, a, d.ID)
	}
	if !p.sim.Alive() {
		return sim.ErrKilled
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.effects[d.ID]++
	return nil
}

// effectTx stores the effect together with the completion.
func (s *inboxes) effectTx(ctx context.Context, p *process, a *inbox.Attempt, delivery string) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback() //nolint:errcheck // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, `INSERT INTO effect (delivery) VALUES (?)`, delivery); err != nil {
		return err
	}
	if err := a.CompleteTx(ctx, tx); err != nil {
		return err
	}
	return tx.Commit()
}
