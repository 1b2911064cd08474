// Package admission decides which deliveries a process may attempt now, so that
// an endpoint that hangs, fails or has a large backlog delays no other
// endpoint:
//
//   - Each endpoint has a window of attempts in flight. The window grows with
//     each success, up to the endpoint's own limit, and halves with each
//     failure.
//   - Endpoints that fail or are slow share half of all slots. They and
//     endpoints without a history share seven eighths. Healthy endpoints always
//     find a slot.
//   - A circuit breaker stops attempts after consecutive failures. After a
//     jittered pause it is half-open and admits one probe at a time. A probe
//     that succeeds closes it, and the attempts per second double from one.
//   - A rate limit spaces the attempts of all processes, see [RateSlots].
//
// A job that is not admitted is snoozed. It goes back to the queue for a time
// that grows with the backlog of its endpoint. When the endpoint can take more,
// [Limiter.Run] searches the database for its snoozed jobs and wakes them up.
// It does not matter which process has snoozed them.
//
// A [Limiter] decides for its own process and has no database. The caller
// stores until when a breaker is open and passes it to the limiters of other
// processes.
package admission

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

// maxSlotWait is the longest that a job waits in memory for a slot, which costs
// less than a snooze. A job that would wait longer is snoozed.
const maxSlotWait = 100 * time.Millisecond

// Config is what [New] needs.
type Config struct {
	// Slots is the number of attempts that may be in flight at once.
	Slots int
	// Breaker configures the circuit breaker of every endpoint.
	Breaker Breaker
	// PollInterval is the time between two polls of the queue for snoozed jobs.
	PollInterval time.Duration
	// Clock tells the time. Nil means time.Now. It is read while the Limiter is
	// locked, so that later changes of an endpoint have later times.
	Clock func() time.Time
}

// Limiter admits attempts. Its methods are safe for concurrent use.
type Limiter struct {
	Config
	signal chan struct{} // sent to when ready gets an endpoint

	mu        sync.Mutex
	endpoints map[string]*endpoint
	asleep    []*endpoint // those that may have snoozed jobs
	ready     []*endpoint // those of them that are searched before the next poll
	inFlight  int
	suspects  int // of those in flight
}

// New returns a Limiter.
func New(c Config) *Limiter {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Limiter{Config: c, signal: make(chan struct{}, 1), endpoints: map[string]*endpoint{}}
}

// Request asks for one attempt. It says what the database knows of the
// endpoint.
type Request struct {
	// Endpoint is the endpoint's ID. Version is that of its configuration. A
	// change of the version resets the breaker.
	Endpoint string
	Version  int64
	// Concurrency is the number of attempts that may be in flight to the endpoint.
	Concurrency int
	// Failing reports that the endpoint's last attempt failed.
	Failing bool
	// BreakerOpenUntil is what some process got from Permit.Release. It is zero if
	// an attempt has succeeded since.
	BreakerOpenUntil time.Time
	// Interval is the time between two attempts, from the endpoint's rate limit.
	// Zero means that there is no limit. Slots is not used then.
	Interval time.Duration
	Slots    RateSlots
}

// Permit is the right to make one attempt. The caller must release it.
type Permit struct {
	limiter  *Limiter
	endpoint *endpoint
	version  int64
	start    time.Time
	probe    bool
	suspect  bool
}

// Admit returns a permit, or for how long the job is to be snoozed. Errors are
// those of the request's RateSlots and the cause of ctx.
func (l *Limiter) Admit(ctx context.Context, r *Request) (*Permit, time.Duration, error) {
	l.arrived(r)
	if r.Interval > 0 {
		return l.admitPaced(ctx, r)
	}
	return l.admit(ctx, r)
}

func (l *Limiter) arrived(r *Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endpoint(r).sleepers.arrived()
}

// admit is Admit without a rate limit. It returns no error.
func (l *Limiter) admit(ctx context.Context, r *Request) (*Permit, time.Duration, error) {
	p, snooze, w := l.acquire(r)
	if w == nil {
		return p, snooze, nil
	}
	timer := time.NewTimer(maxSlotWait)
	defer timer.Stop()
	select {
	case <-w.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.permit != nil {
		return w.permit, 0, nil
	}
	w.endpoint.removeWaiter(w)
	return nil, l.snooze(w.endpoint, l.Clock()), nil
}

// acquire returns a permit, a snooze, or a place among the waiters.
func (l *Limiter) acquire(r *Request) (*Permit, time.Duration, *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoint(r)
	now := l.Clock()
	if e.breaker.openings > 0 {
		if !l.canProbe(e, now) {
			return nil, l.snooze(e, now), nil
		}
		return l.permit(e, now, true), 0, nil
	}
	if l.hasRoom(e, now) {
		return l.permit(e, now, false), 0, nil
	}
	if len(e.starts) == 0 || e.expectedWait(now) > maxSlotWait {
		return nil, l.snooze(e, now), nil
	}
	w := &waiter{endpoint: e, ready: make(chan struct{})}
	e.waiters = append(e.waiters, w)
	return nil, 0, w
}

// endpoint returns the state of the request's endpoint after an update.
func (l *Limiter) endpoint(r *Request) *endpoint {
	e := l.endpoints[r.Endpoint]
	if e == nil {
		e = newEndpoint(r.Endpoint)
		l.endpoints[r.Endpoint] = e
	}
	if e.version != r.Version { // a change of the endpoint may have fixed it
		e.version, e.failures, e.breaker.probing = r.Version, 0, false
		e.breaker.close()
		e.sleepers.reset()
	}
	if e.pace.interval != r.Interval {
		e.pace.interval, e.pace.freeAt, e.sleepers.nextAt = r.Interval, time.Time{}, time.Time{}
	}
	e.limit, e.failing = r.Concurrency, r.Failing
	e.window = min(e.window, e.limit)
	e.used = l.Clock()
	if r.BreakerOpenUntil.IsZero() && e.breaker.remote {
		e.breaker.succeeded(e.used)
		e.sleepers.reset()
	} else {
		e.breaker.adopt(r.BreakerOpenUntil, e.used, l.Breaker)
	}
	return e
}

// hasRoom reports whether one more attempt may start.
func (l *Limiter) hasRoom(e *endpoint, now time.Time) bool {
	return len(e.starts) < e.window && e.breaker.allowance(now) > 0 && !l.full(e, now)
}

// canProbe reports whether the probe of a half-open breaker may start. If
// another process opened the breaker, this one may have its full number of
// attempts in flight.
func (l *Limiter) canProbe(e *endpoint, now time.Time) bool {
	return !e.breaker.blocks(now) && len(e.starts) < e.limit && !l.full(e, now)
}

// full reports whether there is no slot for an endpoint of this health.
func (l *Limiter) full(e *endpoint, now time.Time) bool {
	switch e.health(now) {
	case healthy:
		return l.inFlight >= l.Slots
	case unknown:
		return l.inFlight >= max(l.Slots*7/8, 1)
	default:
		return l.inFlight >= max(l.Slots*7/8, 1) || l.suspects >= max(l.Slots/2, 1)
	}
}

func (l *Limiter) permit(e *endpoint, now time.Time, probe bool) *Permit {
	p := &Permit{limiter: l, endpoint: e, version: e.version, start: now, probe: probe, suspect: e.health(now) == suspect}
	e.starts = append(e.starts, now)
	e.breaker.started++
	e.breaker.probing = e.breaker.probing || probe
	l.inFlight++
	if p.suspect {
		l.suspects++
	}
	return p
}

func (l *Limiter) snooze(e *endpoint, now time.Time) time.Duration {
	l.list(e)
	return e.snooze(now, e.spacing(now, len(l.asleep)))
}

// Outcome is what an attempt says about its endpoint.
type Outcome int

// The outcomes.
const (
	// Succeeded means that the endpoint accepted the delivery.
	Succeeded Outcome = iota
	// Failed means that it did not.
	Failed
	// Gone means that the endpoint wants no more deliveries and is about to be
	// disabled.
	Gone
	// Inconclusive means that the attempt was cut off on this side.
	Inconclusive
)

// Release gives the slot back. If this attempt opened the breaker, it returns
// until when the breaker is open, and otherwise the zero time.
func (p *Permit) Release(o Outcome) (openUntil time.Time) {
	l, e := p.limiter, p.endpoint
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Clock()
	e.removeStart(p.start)
	l.inFlight--
	if p.suspect {
		l.suspects--
	}
	if p.version != e.version { // the attempt tried an old configuration
		o = Inconclusive
	} else if p.probe {
		e.breaker.probing = false
	}
	switch o {
	case Succeeded:
		e.succeeded(now, timemath.Elapsed(p.start, now))
	case Gone:
		e.breaker.open(now, l.Breaker.MaxPause)
	case Failed:
		if e.failed(now, timemath.Elapsed(p.start, now), p.probe, l.Breaker) {
			openUntil = e.breaker.openUntil
		}
	}
	l.admitWaiters(e, now)
	return openUntil
}

// admitWaiters gives permits to waiters. If there is room after that, snoozed
// jobs are woken up. An endpoint that was not searched for long may have some
// of another process.
func (l *Limiter) admitWaiters(e *endpoint, now time.Time) {
	if e.breaker.openings > 0 {
		return
	}
	for len(e.waiters) > 0 && l.hasRoom(e, now) {
		w := e.waiters[0]
		e.waiters = e.waiters[1:]
		w.permit = l.permit(e, now, false)
		close(w.ready)
	}
	if timemath.Elapsed(e.sleepers.searched, now) >= searchAgain {
		l.list(e)
	}
	if e.sleepers.wants(l.canTake(e, now), now) {
		l.hurry(e)
	}
}

// Sweep forgets endpoints that were not used for the given time, and of which
// there is nothing to remember.
func (l *Limiter) Sweep(unused time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Clock()
	for id, e := range l.endpoints {
		if e.idle() && now.Sub(e.used) > unused && !now.Before(e.breaker.openUntil) {
			delete(l.endpoints, id)
		}
	}
}
