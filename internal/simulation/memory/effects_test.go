package memory

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/receiver"
)

// effects is the resource that handlers change. It outlives all processes.
type effects struct {
	w   *sim.World
	ttl time.Duration
	// transactional says that the effect and the completion are one
	// transaction.
	transactional bool

	mu         sync.Mutex
	deliveries map[string]*delivery
	keys       map[dedupe.Key]*delivery
}

// delivery is what the world knows of one delivery.
type delivery struct {
	id      string
	rand    *rand.Rand
	running []*run
	done    []time.Time // when it took effect
	latest  dedupe.Token
	written dedupe.Token // the greatest token whose write a fenced resource took
	excuses []string     // the documented reasons for a further effect
}

// run is one call of a handler.
type run struct {
	process *sim.Process
	ctx     context.Context
	claim   dedupe.Claim
	// commits says that the handler has begun its transaction. From then on a
	// lost lease does not end its context, because the transaction decides.
	commits bool
}

func newEffects(w *sim.World, ttl time.Duration) *effects {
	return &effects{w: w, ttl: ttl, deliveries: map[string]*delivery{}, keys: map[dedupe.Key]*delivery{}}
}

// of returns the delivery with an ID. The caller holds the lock.
func (e *effects) of(id string) *delivery {
	d := e.deliveries[id]
	if d == nil {
		d = &delivery{id: id, rand: e.w.Rand("delivery " + id)}
		e.deliveries[id] = d
	}
	return d
}

// begin checks that no other handler runs for the delivery.
func (e *effects) begin(ctx context.Context, p *sim.Process, d *receiver.Delivery) *run {
	r := &run{process: p, ctx: ctx, claim: d.Claim}
	if e.other(d, r) != nil {
		// Both may happen at the same instant, in which the goroutines run in
		// any order. It has passed when the time moves.
		time.Sleep(time.Nanosecond)
		if other := e.other(d, r); other != nil {
			e.w.Violate("%s: the handler with token %d runs while that with token %d does not know that its lease is lost", d.ID, d.Claim.Token, other.claim.Token)
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.of(d.ID)
	e.keys[d.Claim.Key] = known
	if d.Claim.Token <= known.latest {
		e.w.Violate("%s: token %d comes after token %d", d.ID, d.Claim.Token, known.latest)
	}
	known.latest = d.Claim.Token
	known.running = append(known.running, r)
	return r
}

// other returns another run that may still have its effect.
func (e *effects) other(d *receiver.Delivery, r *run) *run {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.of(d.ID).running {
		if other.process.Alive() && other.ctx.Err() == nil && !other.commits && other != r {
			return other
		}
	}
	return nil
}

func (e *effects) commits(r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	r.commits = true
}

func (e *effects) end(id string, r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.of(id)
	d.running = slices.DeleteFunc(d.running, func(other *run) bool { return other == r })
	switch {
	case !r.process.Alive():
		d.excuses = append(d.excuses, "its process died")
	case r.ctx.Err() != nil:
		d.excuses = append(d.excuses, "its lease was lost")
	}
}

// excuse notes a documented reason for a further effect.
func (e *effects) excuse(key dedupe.Key, reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.keys[key]; d != nil {
		d.excuses = append(d.excuses, reason)
	}
}

// excuseAll is excuse for every delivery.
func (e *effects) excuseAll(reason string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, d := range e.deliveries {
		d.excuses = append(d.excuses, reason)
	}
}

// happen is the effect of a delivery. A further one needs an excuse.
func (e *effects) happen(id string, r *run) {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.of(id)
	e.w.Log("%s takes effect by token %d of %s", id, r.claim.Token, r.process.Name)
	if n := len(d.done); n > 0 {
		forgotten := time.Since(d.done[n-1]) >= e.ttl
		switch {
		case e.transactional && !forgotten:
			e.w.Violate("%s took effect again, although its effect and its completion are one transaction", id)
		case len(d.excuses) == 0 && r.ctx.Err() == nil && !forgotten:
			e.w.Violate("%s took effect again without a documented reason", id)
		}
		e.w.Cover("effect: again")
	} else {
		e.w.Cover("effect: first")
	}
	d.done = append(d.done, time.Now())
	if d.excuses = nil; r.ctx.Err() != nil { // a handler that ignores its context
		d.excuses = append(d.excuses, "its lease was lost")
	}
}

// completed notes that the store remembers the delivery. No reason from before
// excuses a further effect.
func (e *effects) completed(key dedupe.Key) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if d := e.keys[key]; d != nil {
		d.excuses = nil
	}
}

// fence is a resource that remembers the greatest token. It reports whether it
// takes the write of a run.
func (e *effects) fence(id string, token dedupe.Token) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	d := e.of(id)
	if token < d.written {
		e.w.Cover("effect: write of an old token refused")
		return false
	}
	d.written = token
	return true
}

// took reports whether a delivery took effect.
func (e *effects) took(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.of(id).done) > 0
}
