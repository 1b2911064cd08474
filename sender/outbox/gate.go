package outbox

import (
	"context"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

// waitForSlot is the longest that a job waits in memory for its endpoint's next free slot, which costs less than to put it
// back. What would take longer goes back to the queue, where it is in nobody's way.
const waitForSlot = 100 * time.Millisecond

// gate decides which deliveries may be attempted now, so that an endpoint that hangs, fails or has a large backlog delays
// nobody else's:
//
//   - each endpoint has a window of attempts in flight, up to its cap, which opens with success and closes with failure;
//   - endpoints that fail or are slow share half of all slots, and they and those of which nothing is known seven eighths, so that
//     the others always find some;
//   - a circuit breaker stops attempts after failures in a row, and lets single probes through after jittered pauses; when one
//     succeeds, the endpoint is brought back slowly;
//   - what finds no slot goes back to the queue for a time that grows with the backlog, and is called back earlier when the
//     endpoint has free slots.
//
// It is per process. How long an open breaker lasts is also written to the database, for the others.
type gate struct {
	slots   int // in all
	breaker breakerConfig
	callin  func(jobs []int64) // calls parked jobs back; must not block
	// clock is read while mu is held, so that later changes of a lane have later
	// times.
	clock func() time.Time

	mu       sync.Mutex
	lanes    map[string]*lane
	backlogs map[*lane]struct{} // those with parked jobs
	inFlight int
	suspects int // of those
}

func newGate(slots int, b breakerConfig, callin func([]int64)) *gate {
	return &gate{slots: slots, breaker: b, callin: callin, clock: time.Now, lanes: map[string]*lane{}, backlogs: map[*lane]struct{}{}}
}

// permit is the right to make one attempt. It must be given back with done.
type permit struct {
	g       *gate
	l       *lane
	version int64 // of the endpoint's configuration
	start   time.Time
	probe   bool
	suspect bool
}

// laneLimits is what the database says about an endpoint.
type laneLimits struct {
	version   int64
	cap       int
	failing   bool
	holdUntil time.Time // another process's breaker
}

// admit returns a permit, or for how long the job is to be put back.
func (g *gate) admit(ctx context.Context, endpoint string, limits laneLimits, job int64) (*permit, time.Duration) {
	l, p, hold, w := g.ask(endpoint, limits, job)
	if w == nil {
		return p, hold
	}
	timer := time.NewTimer(waitForSlot)
	defer timer.Stop()
	select {
	case <-w.ready:
	case <-timer.C:
	case <-ctx.Done():
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if w.permit != nil {
		return w.permit, 0
	}
	l.removeWaiter(w)
	return nil, g.putBack(l, g.clock(), job)
}

// ask is the first half of admit.
func (g *gate) ask(endpoint string, limits laneLimits, job int64) (*lane, *permit, time.Duration, *waiter) {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane(endpoint, limits)
	delete(l.parked, job)
	p, hold, w := g.enter(l, g.clock(), job)
	return l, p, hold, w
}

// closed returns for how long the job is to be put back if the breaker is open, and otherwise 0.
func (g *gate) closed(endpoint string, limits laneLimits, job int64) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	l, now := g.lane(endpoint, limits), g.clock()
	if l.openings > 0 && (now.Before(l.openUntil) || l.probing) {
		return g.putBack(l, now, job)
	}
	return 0
}

// turns is what to have a place in while taking a turn of a limited rate.
func (g *gate) turns(endpoint string, limits laneLimits) chan struct{} {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lane(endpoint, limits).turns
}

// mayTrim reports, now and then, that it is time to look whether the turns of a limited rate are still wanted.
func (g *gate) mayTrim(endpoint string, limits laneLimits) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	l := g.lane(endpoint, limits)
	if l.touched.Sub(l.trimmed) < trimEach {
		return false
	}
	l.trimmed = l.touched
	return true
}

func (g *gate) lane(endpoint string, limits laneLimits) *lane {
	l := g.lanes[endpoint]
	if l == nil {
		l = newLane(endpoint)
		g.lanes[endpoint] = l
	}
	if l.version != limits.version { // someone changed or enabled the endpoint, perhaps to mend it
		l.version, l.failures, l.probing = limits.version, 0, false
		l.close()
	}
	l.cap, l.failing = limits.cap, limits.failing
	l.window = min(l.window, l.cap)
	l.touched = g.clock()
	l.heed(limits.holdUntil, g.breaker)
	return l
}

// heed takes over what another process has found out. Times that are too far ahead are a clock's fault.
func (l *lane) heed(holdUntil time.Time, b breakerConfig) {
	switch {
	case holdUntil.IsZero() && l.remote:
		l.close()
		l.closed, l.since = l.touched, 0
	case l.openings == 0 && l.touched.Before(holdUntil) && holdUntil.Sub(l.touched) <= timemath.Times(b.max, 2):
		l.openUntil, l.openings, l.remote = holdUntil, 1, true
	}
}

// enter decides about one job: a permit, a pause, or a place among the waiters.
func (g *gate) enter(l *lane, now time.Time, job int64) (*permit, time.Duration, *waiter) {
	if l.openings > 0 { // open or half open
		if now.Before(l.openUntil) || l.probing || g.full(l, now) {
			return nil, g.putBack(l, now, job), nil
		}
		return g.take(l, now, true), 0, nil
	}
	if g.room(l, now) {
		return g.take(l, now, false), 0, nil
	}
	if len(l.starts) == 0 || l.estimate(now) > waitForSlot {
		return nil, g.putBack(l, now, job), nil
	}
	w := &waiter{ready: make(chan struct{})}
	l.waiters = append(l.waiters, w)
	return nil, 0, w
}

// room reports whether one more attempt may begin.
func (g *gate) room(l *lane, now time.Time) bool {
	return len(l.starts) < l.window && l.allowance(now) > 0 && !g.full(l, now)
}

// full reports whether there is no slot for this lane.
func (g *gate) full(l *lane, now time.Time) bool {
	switch l.standing(now) {
	case proven:
		return g.inFlight >= g.slots
	case unknown:
		return g.inFlight >= max(g.slots*7/8, 1)
	default:
		return g.inFlight >= max(g.slots*7/8, 1) || g.suspects >= max(g.slots/2, 1)
	}
}

func (g *gate) take(l *lane, now time.Time, probe bool) *permit {
	p := &permit{g: g, l: l, version: l.version, start: now, probe: probe, suspect: l.standing(now) == suspect}
	l.starts = append(l.starts, now)
	l.since++
	l.probing = l.probing || probe
	g.inFlight++
	if p.suspect {
		g.suspects++
	}
	return p
}

func (g *gate) putBack(l *lane, now time.Time, job int64) time.Duration {
	l.park(job, now)
	g.backlogs[l] = struct{}{}
	return l.hold(now, l.spacing(now, len(g.backlogs)))
}

func (l *lane) removeWaiter(w *waiter) {
	for i, other := range l.waiters {
		if other == w {
			l.waiters = append(l.waiters[:i], l.waiters[i+1:]...)
			return
		}
	}
}

// verdict is what an attempt says about its endpoint.
type verdict int

const (
	endpointUp verdict = iota
	endpointDown
	endpointGone    // it wants nothing more: it is about to be disabled
	endpointUnknown // the attempt was cut off on this side
)

// done gives the slot back. It returns until when the endpoint is to be left alone, if this attempt opened the breaker.
func (p *permit) done(v verdict) (openUntil time.Time) {
	openUntil, jobs := p.settle(v)
	if len(jobs) > 0 {
		p.g.callin(jobs)
	}
	return openUntil
}

// settle is done without calling anybody back.
func (p *permit) settle(v verdict) (openUntil time.Time, jobs []int64) {
	g, l := p.g, p.l
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock()
	l.end(p.start)
	g.inFlight--
	if p.suspect {
		g.suspects--
	}
	if p.version != l.version { // what it has found out is about a configuration that is gone
		v = endpointUnknown
	} else if p.probe {
		l.probing = false
	}
	switch v {
	case endpointUp:
		l.succeeded(now, timemath.Elapsed(p.start, now))
	case endpointGone:
		l.openUntil, l.openings = now.Add(g.breaker.max), l.openings+1
	case endpointDown:
		if l.failed(now, timemath.Elapsed(p.start, now), p.probe, g.breaker) {
			openUntil = l.openUntil
		}
	}
	return openUntil, g.wake(l, now)
}

// wake lets waiters in, and where there is none, calls parked jobs back.
func (g *gate) wake(l *lane, now time.Time) []int64 {
	if l.openings > 0 {
		return nil
	}
	for len(l.waiters) > 0 && g.room(l, now) {
		w := l.waiters[0]
		l.waiters = l.waiters[1:]
		w.permit = g.take(l, now, false)
		close(w.ready)
	}
	if len(l.parked) == 0 || len(l.waiters) > 0 || !g.room(l, now) {
		return nil
	}
	return l.unpark(min(l.share(), l.allowance(now)), now)
}

// share is how many parked jobs to call back: what the endpoint handles until the queue is looked at again.
func (l *lane) share() int {
	if !l.proven {
		return l.window
	}
	perSlot := int(2 * fetchPollInterval / max(l.latency, time.Millisecond))
	return min(max(l.window*perSlot, l.window), 256)
}

// kick calls parked jobs back for endpoints that nothing else reminds of them, because nothing is in flight to them.
func (g *gate) kick() (jobs []int64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock()
	for l := range g.backlogs {
		switch {
		case len(l.parked) == 0:
			delete(g.backlogs, l)
		case now.Before(l.openUntil) || l.probing:
		case l.openings == 0:
			jobs = append(jobs, g.wake(l, now)...)
		case !g.full(l, now): // half open: one is enough
			jobs = append(jobs, l.unpark(1, now)...)
		}
	}
	return jobs
}

// sweep forgets lanes that have not been used for a while and that say nothing.
func (g *gate) sweep(unused time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := g.clock()
	for id, l := range g.lanes {
		if l.idle() && now.Sub(l.touched) > unused && !now.Before(l.openUntil) {
			delete(g.lanes, id)
			delete(g.backlogs, l)
		}
	}
}
