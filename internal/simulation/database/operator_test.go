//go:build linux && (amd64 || arm64)

package database

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/deployhook/deployhook/sender/outbox"
)

// crawl is a rate limit with which deliveries wait for longer than the world
// lasts.
const crawl = 1.0 / 3600

// planOperators plans what operators and customers do.
func (w *world) planOperators() {
	r := w.Rand("operators")
	for range r.IntN(10) {
		w.planMode(r)
	}
	for range r.IntN(8) {
		w.planAction(r, r.IntN(7))
	}
	if w.fair {
		w.planAction(r, slowDown)
		w.planAction(r, slowDown)
	}
}

// planMode plans that an endpoint behaves differently for a time.
func (w *world) planMode(r *rand.Rand) {
	e := w.created[r.IntN(len(w.created))]
	m := []mode{failing, failing, failing, slow, limiting, gone}[r.IntN(6)]
	at := between(r, 0, active)
	until := at + between(r, time.Second, 25*time.Second)
	w.Plan(at, e.address+" is "+modes[m], func() { e.set(m) })
	w.Plan(until, e.address+" is healthy", func() { e.set(healthy) })
}

// planAction plans one action. Those that belong together, such as disabling
// and enabling, come close together half of the time.
func (w *world) planAction(r *rand.Rand, action int) {
	e, on := w.created[r.IntN(len(w.created))], r.IntN(len(w.nodes))
	at, later := between(r, time.Second, active), between(r, time.Second, 15*time.Second)
	if chance(r, 0.5) {
		later /= 8
	}
	do := func(at time.Duration, name string, action func(ctx context.Context, a *outbox.App) error) {
		w.Plan(at, name+" "+e.address, func() { w.calls.Go(func() { w.operate(name, e, on, action) }) })
	}
	switch action {
	case 0:
		do(at, "rotate", e.rotate(w))
	case 1:
		do(at, "disable", e.disable)
		do(at+later, "enable", e.enable())
	case 2:
		do(at, "disable", e.disable)
		do(at+later, "enable with missed", e.enable(outbox.WithMissed()))
	case 3:
		if e != w.inboxes.endpoint {
			do(at, "delete", e.remove)
		}
	case 4:
		do(at, "replay", func(ctx context.Context, a *outbox.App) error {
			_, err := a.ReplayRange(ctx, outbox.DeliveryFilter{Endpoint: e.id, States: []outbox.State{outbox.Delivered, outbox.Failed, outbox.Canceled}})
			return err
		})
	case 5:
		do(at, "send missed", func(ctx context.Context, a *outbox.App) error {
			_, err := a.SendMissed(ctx, e.id, time.Now().Add(-time.Hour))
			return err
		})
	case slowDown:
		do(at, "slow down", e.limitTo(crawl))
		if w.fair || chance(r, 0.5) { // or at the end
			do(at+later, "lift the limit", e.limitTo(e.limit))
		}
	}
}

// slowDown is the action that sets a low rate limit and lifts it again.
const slowDown = 6

// limitTo changes the rate limit.
func (e *endpoint) limitTo(perSecond float64) func(ctx context.Context, a *outbox.App) error {
	return func(ctx context.Context, a *outbox.App) error {
		if perSecond == crawl {
			e.slow(true)
		}
		_, err := a.UpdateEndpoint(ctx, e.id, outbox.EndpointUpdate{RateLimit: &perSecond})
		if err == nil && perSecond != crawl {
			e.slow(false)
		}
		return err
	}
}

func (e *endpoint) slow(down bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.slowed = down
}

// operate does something about an endpoint.
func (w *world) operate(name string, e *endpoint, on int, action func(ctx context.Context, a *outbox.App) error) {
	n := w.anyNode(on)
	if n == nil {
		return
	}
	p := n.running()
	if p == nil {
		return
	}
	ctx, cancel := context.WithTimeout(p.sim.Context(), 20*time.Second)
	defer cancel()
	err := action(ctx, p.outbox.App(e.app))
	e.change()
	if err == nil {
		w.Cover("operator: " + name)
		return
	}
	w.Log("%s %s: %v", name, e.address, err)
	w.Cover("operator: a call failed")
}

func (e *endpoint) rotate(w *world) func(ctx context.Context, a *outbox.App) error {
	return func(ctx context.Context, a *outbox.App) error {
		text := w.newSecret()
		if err := e.learn(text); err != nil {
			return err
		}
		_, err := a.RotateSecret(ctx, e.id, text, time.Minute)
		return err
	}
}

func (e *endpoint) disable(ctx context.Context, a *outbox.App) error {
	e.mu.Lock()
	before := e.enables
	e.mu.Unlock()
	err := a.Disable(ctx, e.id, "the operator wants it")
	if err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.enabling == 0 && e.enables == before { // no call may have come later
			e.disabled = time.Now()
		}
	}
	return err
}

// enable forgets that the endpoint is disabled before it calls, because the
// call may succeed and lose its answer.
func (e *endpoint) enable(opts ...outbox.EnableOption) func(ctx context.Context, a *outbox.App) error {
	return func(ctx context.Context, a *outbox.App) error {
		e.mu.Lock()
		if !e.disabled.IsZero() {
			e.periods = append(e.periods, period{e.disabled, time.Now()})
		}
		e.disabled = time.Time{}
		e.enabling++
		e.enables++
		e.mu.Unlock()
		defer func() {
			e.mu.Lock()
			defer e.mu.Unlock()
			e.enabling--
		}()
		return a.Enable(ctx, e.id, opts...)
	}
}

func (e *endpoint) remove(ctx context.Context, a *outbox.App) error {
	e.mu.Lock()
	e.removing = true
	e.mu.Unlock()
	err := a.DeleteEndpoint(ctx, e.id)
	if errors.Is(err, outbox.ErrUnknownEndpoint) {
		err = nil
	}
	if err == nil {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.deleted = time.Now()
	}
	return err
}
