package memory

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/simulation/sim"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// The faults of handlers.
const (
	handlerFails    = "handler: fails"
	handlerPanics   = "handler: panics"
	handlerBusy     = "handler: asks for a later attempt"
	handlerRegrets  = "handler: fails after its effect"
	handlerSlow     = "handler: runs longer than its lease"
	handlerStubborn = "handler: ignores the end of its context"
)

var handlerFaults = []string{handlerFails, handlerPanics, handlerBusy, handlerRegrets, handlerSlow, handlerStubborn}

var errHandler = errors.New("the handler failed")

// mode is how a handler has its effect.
type mode int

const (
	plain         mode = iota // the effect, and then the completion by the receiver
	fenced                    // the same with a resource that refuses old tokens
	transactional             // both in one transaction
	modes
)

// handlers are the handlers of one receiver process.
type handlers struct {
	w       *sim.World
	process *sim.Process
	store   *client
	effects *effects
	mode    mode
	lease   time.Duration
	odds    float64
	calm    *calm
}

// calm says whether the faults have ended.
type calm struct {
	mu    sync.Mutex
	since time.Time
}

func (c *calm) set() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.since = time.Now()
}

// before reports whether the faults had ended a while before a time.
func (c *calm) before(t time.Time, while time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.since.IsZero() && c.since.Add(while).Before(t)
}

// script is what one call of a handler does.
type script struct {
	fault string
	takes time.Duration
}

func (h *handlers) script(id string) script {
	h.effects.mu.Lock()
	defer h.effects.mu.Unlock()
	r := h.effects.of(id).rand
	s := script{takes: duration(r, 200*time.Millisecond)}
	f, kind := r.Float64(), handlerFaults[r.IntN(len(handlerFaults))]
	long := duration(r, 4*h.lease)
	if h.calm.before(time.Now(), 0) || f >= h.odds {
		return s
	}
	s.fault = kind
	switch {
	case kind == handlerSlow || kind == handlerStubborn:
		s.takes = h.lease + long
	case r.IntN(3) == 0:
		s.takes = long
	}
	return s
}

// duration returns a random duration below most.
func duration(r *rand.Rand, most time.Duration) time.Duration {
	return time.Duration(r.Int64N(int64(most) + 1))
}

// handle is called for each delivery of any kind.
func (h *handlers) handle(ctx context.Context) error {
	d, _ := receiver.FromContext(ctx)
	r := h.effects.begin(ctx, h.process, d)
	defer h.effects.end(d.ID, r)
	s := h.script(d.ID)
	if s.fault != "" {
		h.w.Fault(s.fault)
	}
	if err := h.work(ctx, s); err != nil {
		return err
	}
	switch s.fault {
	case handlerFails:
		return errHandler
	case handlerPanics:
		panic(errHandler)
	case handlerBusy:
		return receiver.TryAgain(s.takes, errHandler)
	}
	if err := h.effect(ctx, d, r); err != nil {
		return err
	}
	if s.fault == handlerRegrets && h.mode != transactional {
		h.effects.excuse(d.Claim.Key, "its handler failed after its effect")
		return errHandler
	}
	return nil
}

// work takes time. A stubborn handler works on after it lost its lease, but not
// after its process died.
func (h *handlers) work(ctx context.Context, s script) error {
	if s.fault == handlerStubborn {
		return h.process.Sleep(s.takes)
	}
	timer := time.NewTimer(s.takes)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if !h.process.Alive() {
		return sim.ErrKilled
	}
	return nil
}

func (h *handlers) effect(ctx context.Context, d *receiver.Delivery, r *run) error {
	happen := func() { h.effects.happen(d.ID, r) }
	switch h.mode {
	case transactional:
		h.effects.commits(r)
		err := d.CompleteWith(func(c dedupe.Claim) error {
			limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			return h.store.transact(limited, c, happen)
		})
		h.w.Cover(map[bool]string{true: "transaction: committed", false: "transaction: failed or its answer lost"}[err == nil])
		return err
	case fenced:
		if !h.effects.fence(d.ID, d.Claim.Token) {
			return dedupe.ErrLeaseLost
		}
	}
	happen()
	return nil
}

func (h *handlers) event(ctx context.Context, _ *payload.Event) error       { return h.handle(ctx) }
func (h *handlers) record(ctx context.Context, _ *payload.Deployment) error { return h.handle(ctx) }

func (h *handlers) raw(w http.ResponseWriter, r *http.Request) {
	if err := h.handle(r.Context()); err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func decodeDeployment(_ context.Context, body []byte) (*payload.Deployment, error) {
	return payload.DecodeDeployment(body)
}
