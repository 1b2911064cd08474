package admission

import (
	"math"
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
	// maxSnooze is the longest snooze. After a restart no process knows which jobs
	// to wake up.
	maxSnooze = 10 * time.Minute
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
	version int64
	limit   int // of attempts in flight

	window   int         // attempts that may be in flight now, 1 to limit
	starts   []time.Time // of the attempts in flight
	waiters  []*waiter
	latency  time.Duration // moving average of answered attempts; 0 before the first
	proven   bool          // the last attempt succeeded
	failures int           // consecutive ones
	failing  bool          // the database says that the last attempt failed

	breaker breaker
	backlog backlog

	used    time.Time     // last time
	trimmed time.Time     // when its rate slots were last trimmed
	reserve chan struct{} // held while a rate slot is reserved
}

// waiter is a job that waits in memory for a slot. The Limiter sets permit and
// then closes ready.
type waiter struct {
	endpoint *endpoint
	ready    chan struct{}
	permit   *Permit
}

func newEndpoint() *endpoint {
	return &endpoint{window: startWindow, reserve: make(chan struct{}, 1)}
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
	at := e.backlog.nextAt
	if earliest := now.Add(min(max(e.expectedWait(now), MinSnooze), maxExpectedWait)); at.Before(earliest) {
		at = earliest
	}
	if at.Before(e.breaker.openUntil) {
		at = e.breaker.openUntil
	}
	if latest := now.Add(maxSnooze); at.After(latest) {
		return maxSnooze - rand.N(maxSnooze/2)
	}
	e.backlog.nextAt = at.Add(spacing)
	return at.Sub(now)
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
		e.closeBreaker()
		e.breaker.startRamp(now)
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

func (e *endpoint) closeBreaker() {
	e.breaker.close()
	e.backlog.nextAt = time.Time{}
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
	return len(e.starts) == 0 && len(e.waiters) == 0 && e.backlog.empty() && !e.breaker.probing
}

// When a breaker closes, one attempt may start in the first second, two in the
// second, then four, and so on. A whole ramp has 127 attempts. After it the
// endpoint's window is limit enough.
const (
	rampStep = time.Second
	rampTime = 7 * rampStep
)

// Breaker configures circuit breakers.
type Breaker struct {
	// Failures is the number of consecutive failures that opens a breaker.
	Failures int
	// Pause is about how long a breaker stays open. It doubles with every failed
	// probe, up to MaxPause.
	Pause, MaxPause time.Duration
}

// Plausible reports whether a breaker can be open until then. A time too far
// ahead comes from a wrong clock.
func (b Breaker) Plausible(until, now time.Time) bool {
	return until.After(now) && until.Sub(now) <= timemath.Times(b.MaxPause, 2)
}

// pause returns half to one and a half times the nominal pause, so that
// endpoints that failed together are not tried together again.
func (b Breaker) pause(openings int) time.Duration {
	d := b.Pause
	for range min(openings, 16) {
		d = min(timemath.Times(d, 2), b.MaxPause)
	}
	return timemath.Add(d/2, rand.N(d))
}

// breaker is the circuit breaker of one endpoint.
type breaker struct {
	openings  int       // consecutive ones, for the next pause; 0 if the breaker is closed
	openUntil time.Time // after this it is half-open
	probing   bool      // a probe is in flight
	remote    bool      // another process opened it

	rampStart time.Time
	started   int // attempts since rampStart
}

// blocks reports whether the breaker is open, or half-open with a probe in
// flight.
func (b *breaker) blocks(now time.Time) bool {
	return b.openings > 0 && (now.Before(b.openUntil) || b.probing)
}

func (b *breaker) open(now time.Time, pause time.Duration) {
	b.openUntil, b.openings = now.Add(pause), b.openings+1
}

func (b *breaker) close() {
	b.openings, b.openUntil, b.remote = 0, time.Time{}, false
}

// adopt opens a closed breaker because another process did.
func (b *breaker) adopt(until, now time.Time, c Breaker) {
	if b.openings == 0 && c.Plausible(until, now) {
		b.openUntil, b.openings, b.remote = until, 1, true
	}
}

func (b *breaker) startRamp(now time.Time) { b.rampStart, b.started = now, 0 }

// allowance returns how many attempts the ramp lets start now.
func (b *breaker) allowance(now time.Time) int {
	elapsed := timemath.Elapsed(b.rampStart, now)
	if elapsed >= rampTime {
		return math.MaxInt
	}
	return max(1<<(elapsed/rampStep+1)-1-b.started, 0)
}

const (
	// maxBacklog bounds the jobs that an endpoint remembers to wake up. Jobs
	// beyond it return at the end of their snooze.
	maxBacklog = 10_000
	// minAsleep is how long a job must be snoozed before it can be woken up. River
	// records a snooze up to 250 ms later.
	minAsleep = 400 * time.Millisecond
)

// backlog is the snoozed jobs of one endpoint.
type backlog struct {
	nextAt time.Time           // end of the next snooze
	queue  []snoozed           // in the order of their snoozes; some have returned
	jobs   map[int64]time.Time // those that have not, and when they were snoozed
}

type snoozed struct {
	job int64
	at  time.Time
}

func (b *backlog) empty() bool { return len(b.jobs) == 0 }

// add remembers a job that was snoozed.
func (b *backlog) add(job int64, now time.Time) {
	if len(b.jobs) >= maxBacklog {
		return
	}
	if b.jobs == nil {
		b.jobs = map[int64]time.Time{}
	}
	b.jobs[job] = now
	b.queue = append(b.queue, snoozed{job, now})
}

// remove forgets a job that has returned.
func (b *backlog) remove(job int64) { delete(b.jobs, job) }

// take removes up to n jobs that can be woken up.
func (b *backlog) take(n int, now time.Time) (jobs []int64) {
	for len(b.queue) > 0 && len(jobs) < n {
		next := b.queue[0]
		if at, ok := b.jobs[next.job]; ok && at.Equal(next.at) {
			if now.Sub(at) < minAsleep {
				break
			}
			delete(b.jobs, next.job)
			jobs = append(jobs, next.job)
		}
		b.queue = b.queue[1:]
	}
	if b.empty() {
		b.queue, b.nextAt = nil, time.Time{}
	}
	return jobs
}
