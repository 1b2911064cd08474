package admission

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

const (
	// startWindow is the window of an endpoint before its first success.
	startWindow = 1
	// slowAfter is when an attempt counts as slow and its endpoint as suspect.
	slowAfter = time.Second

	// MinSnooze is the shortest snooze.
	MinSnooze = 250 * time.Millisecond
	// A snooze lasts about as long as the job would wait for a slot, at most
	// maxExpectedWait. It may be too long, since jobs are woken up when there is a
	// slot.
	maxExpectedWait = 10 * time.Second
	// maxSnooze is the longest snooze. If every process forgets an endpoint, its
	// next job returns after this time at the latest. With a rate limit the bound
	// is maxPacedSnooze, since such jobs return one by one.
	maxSnooze      = 10 * time.Minute
	maxPacedSnooze = time.Hour
	// The ends of snoozes are spaced by the pace of the endpoint, at most
	// maxSpacing apart. All endpoints together get no more than one job in each
	// minReturnInterval, since every job that returns costs work.
	maxSpacing        = 250 * time.Millisecond
	minReturnInterval = 20 * time.Millisecond

	// maxWakeCount is the number of jobs of an endpoint that wake up at once.
	maxWakeCount = 256
)

// endpoint is what this process knows about one endpoint. It is guarded by the
// mutex of the Limiter.
type endpoint struct {
	id      string
	version int64
	limit   int // of attempts in flight

	window   int         // attempts that may be in flight now, 1 to limit
	starts   []time.Time // of the attempts in flight
	waiters  []*waiter
	latency  time.Duration // moving average of answered attempts; 0 before the first
	proven   bool          // the last attempt succeeded
	failures int           // consecutive ones
	failing  bool          // the database says that the last attempt failed

	breaker  breaker
	sleepers sleepers
	pace     pace

	used time.Time // last time
}

// waiter is a job that waits in memory for a slot. The Limiter sets permit and
// then closes ready.
type waiter struct {
	endpoint *endpoint
	ready    chan struct{}
	permit   *Permit
}

func newEndpoint(id string) *endpoint {
	return &endpoint{id: id, window: startWindow, pace: pace{take: make(chan struct{}, 1)}}
}

// health decides how many of all slots an endpoint may compete for.
type health int

const (
	healthy health = iota // the last attempt succeeded, and none is slow
	unknown               // there is no history
	suspect               // it failed, or is slow
)

func (e *endpoint) health(now time.Time) health {
	if e.failures > 0 || e.latency > slowAfter || e.failing && !e.proven {
		return suspect
	}
	for _, start := range e.starts {
		if now.Sub(start) > slowAfter {
			return suspect
		}
	}
	if e.proven {
		return healthy
	}
	return unknown
}

// attemptTime estimates how long an attempt takes. It also considers the
// attempts in flight.
func (e *endpoint) attemptTime(now time.Time) time.Duration {
	d := e.latency
	for _, start := range e.starts {
		d = max(d, now.Sub(start))
	}
	return d
}

// expectedWait estimates how long the next waiter would wait for a slot. With
// successes, the window doubles in the time of one attempt.
func (e *endpoint) expectedWait(now time.Time) time.Duration {
	each, ahead, window, doublings := e.attemptTime(now), len(e.waiters)+1, max(e.window, 1), 0
	for e.failures == 0 && ahead > window && window < e.limit {
		ahead -= window
		window = min(2*window, e.limit)
		doublings++
	}
	return timemath.Add(timemath.Times(each, doublings), timemath.Times(each, ahead)/time.Duration(window))
}

// snooze returns for how long the next job is to be snoozed. Every job returns
// a little after the one before.
func (e *endpoint) snooze(now time.Time, spacing time.Duration) time.Duration {
	longest := maxSnooze
	earliest := now.Add(min(max(e.expectedWait(now), MinSnooze), maxExpectedWait))
	if e.pace.interval > 0 {
		longest, spacing = maxPacedSnooze, max(spacing, e.pace.interval)
		earliest = later(earliest, now.Add(e.pace.wait(now)))
	}
	e.sleepers.snoozed = now
	at := later(e.sleepers.nextAt, later(earliest, e.breaker.openUntil))
	if at.Sub(now) > longest {
		return longest - rand.N(longest/2)
	}
	e.sleepers.nextAt = at.Add(spacing)
	return at.Sub(now)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// spacing returns the time between the ends of two snoozes. It depends on the
// number of endpoints with snoozed jobs.
func (e *endpoint) spacing(now time.Time, endpoints int) time.Duration {
	pace := maxSpacing
	if e.breaker.openings == 0 && e.failures == 0 {
		pace = min(e.attemptTime(now)/time.Duration(max(e.window, 1)), maxSpacing)
	}
	return max(pace, timemath.Times(minReturnInterval, endpoints))
}

// wakeCount returns how many snoozed jobs to wake up, as many as the endpoint
// handles before the queue is polled again.
func (e *endpoint) wakeCount(poll time.Duration) int {
	if !e.proven {
		return e.window
	}
	perSlot := int(2 * poll / max(e.latency, time.Millisecond))
	return min(max(e.window*perSlot, e.window), maxWakeCount)
}

// succeeded closes the breaker.
func (e *endpoint) succeeded(now time.Time, took time.Duration) {
	e.observe(took)
	e.window = min(e.window+1, e.limit)
	e.proven, e.failures = true, 0
	if e.breaker.openings > 0 {
		e.breaker.succeeded(now)
		e.sleepers.reset()
	}
}

// failed counts a failure and reports whether it opened the breaker. A failed
// probe opens it at once.
func (e *endpoint) failed(now time.Time, took time.Duration, probe bool, b Breaker) bool {
	e.observe(took)
	e.window = max(e.window/2, 1)
	e.proven = false
	e.failures++
	if e.failures < b.Failures && !probe || now.Before(e.breaker.openUntil) {
		return false
	}
	e.breaker.open(now, b.pause(e.breaker.openings))
	e.breaker.remote = false
	return true
}

func (e *endpoint) observe(took time.Duration) {
	took = max(took, 1)
	if e.latency == 0 {
		e.latency = took
		return
	}
	e.latency += (took - e.latency) / 8
}

func (e *endpoint) removeStart(start time.Time) {
	if i := slices.IndexFunc(e.starts, start.Equal); i >= 0 {
		e.starts = slices.Delete(e.starts, i, i+1)
	}
}

func (e *endpoint) removeWaiter(w *waiter) {
	e.waiters = slices.DeleteFunc(e.waiters, func(other *waiter) bool { return other == w })
}

func (e *endpoint) idle() bool {
	return len(e.starts) == 0 && len(e.waiters) == 0 && !e.sleepers.listed && !e.breaker.probing
}
