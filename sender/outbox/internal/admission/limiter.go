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
// that grows with the backlog of its endpoint. [Limiter.Run] wakes it up
// earlier when its endpoint has free slots.
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
	queue wakeQueue

	mu        sync.Mutex
	endpoints map[string]*endpoint
	backlogs  map[*endpoint]struct{} // endpoints with snoozed jobs
	inFlight  int
	suspects  int // of those in flight
}

// New returns a Limiter.
func New(c Config) *Limiter {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	return &Limiter{
		Config: c, queue: wakeQueue{signal: make(chan struct{}, 1)},
		endpoints: map[string]*endpoint{}, backlogs: map[*endpoint]struct{}{},
	}
}

// Request asks for one attempt. It says what the database knows of the
// endpoint.
type Request struct {
	// Job is the job that wants to make the attempt. If it is snoozed, Limiter.Run
	// wakes it up.
	Job int64
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
	// RateSlot is the slot that was recorded for the delivery. Zero means none.
	RateSlot time.Time
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
	if r.Interval > 0 {
		if snooze, err := l.pace(ctx, r); err != nil || snooze > 0 {
			return nil, snooze, err
		}
	}
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
	return nil, l.snooze(w.endpoint, l.Clock(), r.Job), nil
}

// acquire returns a permit, a snooze, or a place among the waiters.
func (l *Limiter) acquire(r *Request) (*Permit, time.Duration, *waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoint(r)
	e.backlog.remove(r.Job)
	now := l.Clock()
	if e.breaker.openings > 0 {
		if e.breaker.blocks(now) || l.full(e, now) {
			return nil, l.snooze(e, now, r.Job), nil
		}
		return l.permit(e, now, true), 0, nil
	}
	if l.hasRoom(e, now) {
		return l.permit(e, now, false), 0, nil
	}
	if len(e.starts) == 0 || e.expectedWait(now) > maxSlotWait {
		return nil, l.snooze(e, now, r.Job), nil
	}
	w := &waiter{endpoint: e, ready: make(chan struct{})}
	e.waiters = append(e.waiters, w)
	return nil, 0, w
}

// snoozeIfBlocked returns for how long the job is to be snoozed because of the
// endpoint's breaker, and zero if the breaker admits an attempt.
func (l *Limiter) snoozeIfBlocked(r *Request) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.endpoint(r), l.Clock()
	if e.breaker.blocks(now) {
		return l.snooze(e, now, r.Job)
	}
	return 0
}

// endpoint returns the state of the request's endpoint after an update.
func (l *Limiter) endpoint(r *Request) *endpoint {
	e := l.endpoints[r.Endpoint]
	if e == nil {
		e = newEndpoint()
		l.endpoints[r.Endpoint] = e
	}
	if e.version != r.Version { // a change of the endpoint may have fixed it
		e.version, e.failures, e.breaker.probing = r.Version, 0, false
		e.closeBreaker()
	}
	e.limit, e.failing = r.Concurrency, r.Failing
	e.window = min(e.window, e.limit)
	e.used = l.Clock()
	if r.BreakerOpenUntil.IsZero() && e.breaker.remote {
		e.closeBreaker()
		e.breaker.startRamp(e.used)
	} else {
		e.breaker.adopt(r.BreakerOpenUntil, e.used, l.Breaker)
	}
	return e
}

// hasRoom reports whether one more attempt may start.
func (l *Limiter) hasRoom(e *endpoint, now time.Time) bool {
	return len(e.starts) < e.window && e.breaker.allowance(now) > 0 && !l.full(e, now)
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

func (l *Limiter) snooze(e *endpoint, now time.Time, job int64) time.Duration {
	e.backlog.add(job, now)
	l.backlogs[e] = struct{}{}
	return e.snooze(now, e.spacing(now, len(l.backlogs)))
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
	openUntil, jobs := p.settle(o)
	p.limiter.Wake(jobs)
	return openUntil
}

// settle gives the slot back and returns the jobs to wake up.
func (p *Permit) settle(o Outcome) (openUntil time.Time, jobs []int64) {
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
	return openUntil, l.admitWaiters(e, now)
}

// admitWaiters gives permits to waiters. If there is room after that, it
// returns snoozed jobs to wake up.
func (l *Limiter) admitWaiters(e *endpoint, now time.Time) []int64 {
	if e.breaker.openings > 0 {
		return nil
	}
	for len(e.waiters) > 0 && l.hasRoom(e, now) {
		w := e.waiters[0]
		e.waiters = e.waiters[1:]
		w.permit = l.permit(e, now, false)
		close(w.ready)
	}
	if e.backlog.empty() || len(e.waiters) > 0 || !l.hasRoom(e, now) {
		return nil
	}
	return e.backlog.take(min(e.wakeCount(l.PollInterval), e.breaker.allowance(now)), now)
}

// wakeable returns the snoozed jobs to wake up at endpoints without an attempt
// in flight, whose end would wake them up.
func (l *Limiter) wakeable() (jobs []int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.Clock()
	for e := range l.backlogs {
		switch {
		case e.backlog.empty():
			delete(l.backlogs, e)
		case now.Before(e.breaker.openUntil) || e.breaker.probing:
		case e.breaker.openings == 0:
			jobs = append(jobs, l.admitWaiters(e, now)...)
		case !l.full(e, now): // half-open: one probe is enough
			jobs = append(jobs, e.backlog.take(1, now)...)
		}
	}
	return jobs
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
			delete(l.backlogs, e)
		}
	}
}
