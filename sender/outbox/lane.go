package outbox

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

const (
	// startWindow is how many attempts to an endpoint may be in flight before the first has succeeded.
	startWindow = 1
	// slowAfter is from when on an attempt counts as slow, and its endpoint as suspect, see gate.
	slowAfter = time.Second
	// Jobs that are put back come back by themselves after about the time that they would have to wait for a slot, within
	// these bounds. It is no loss if that is too long: they are called back when there is a slot.
	minHold     = 250 * time.Millisecond
	maxEstimate = 10 * time.Second
	// They are spaced, too, so that a backlog does not come back all at once: by the pace of the endpoint, or, where that is
	// less often, so that all endpoints' together come back no more often than this apart, since each costs some work.
	maxSpacing  = 250 * time.Millisecond
	returnsEach = 20 * time.Millisecond
	// maxHold bounds for how long a job is put back, since after a restart nobody remembers to call it back earlier.
	maxHold = 10 * time.Minute
	// maxParked bounds the jobs that a lane remembers to call back early. Those beyond come back at their time.
	maxParked = 10_000
	// An endpoint that comes back is brought back slowly: it gets one attempt in the first second after the probe, two in the
	// next, then four, and so on. In a whole ramp that is 127, after which its window is limit enough.
	rampStep = time.Second
	rampFor  = 7 * rampStep
	// parkedFor is how old a parked job must be to be called back: River writes that it was put back up to 250 ms later.
	parkedFor = 400 * time.Millisecond
)

// lane is what this process knows about one endpoint: what is in flight, how fast it answers, its circuit breaker. All of it
// is guarded by the gate's mutex. What must survive a restart is in the database: the deliveries, and until when the
// endpoint is to be left alone.
type lane struct {
	id      string
	version int64 // of the endpoint's configuration
	cap     int

	window   int         // attempts that may be in flight now, 1 to cap: grows by one with each success, halves with each failure
	starts   []time.Time // of the attempts in flight
	waiters  []*waiter
	latency  time.Duration // moving average of attempts that had an answer; 0 before the first
	proven   bool          // the last attempt to end was a success
	failures int           // in a row
	failing  bool          // the database says that its last attempt failed

	openUntil time.Time // the breaker lets nothing through before
	openings  int       // in a row, for the length of the next; 0 means that the breaker is closed
	probing   bool      // one attempt is trying whether the endpoint is back
	remote    bool      // it was another process's attempts that opened the breaker
	closed    time.Time // when the endpoint came back
	since     int       // attempts begun since then

	nextSlot time.Time           // when the next job that is put back should come
	queue    []parkedJob         // the jobs that were put back, in that order; some have come back since
	parked   map[int64]time.Time // those that have not, and when they were put back
	touched  time.Time
	trimmed  time.Time     // see mayTrim
	turns    chan struct{} // of one place, see nextTurn
}

type parkedJob struct {
	job int64
	at  time.Time
}

// waiter is a job that waits in memory for a slot. When it has one, permit is set and ready is closed.
type waiter struct {
	ready  chan struct{}
	permit *permit
}

func newLane(id string) *lane {
	return &lane{id: id, window: startWindow, turns: make(chan struct{}, 1)}
}

// standing is what is known of an endpoint, which decides how many of the slots it may compete for.
type standing int

const (
	proven  standing = iota // its last attempt succeeded, and none takes long
	unknown                 // nothing is known
	suspect                 // it has failed, or is slow
)

func (l *lane) standing(now time.Time) standing {
	if l.failures > 0 || l.latency > slowAfter || l.failing && !l.proven {
		return suspect
	}
	for _, s := range l.starts {
		if now.Sub(s) > slowAfter {
			return suspect
		}
	}
	if l.proven {
		return proven
	}
	return unknown
}

// each is how long an attempt takes, going by those that have ended and those that have not.
func (l *lane) each(now time.Time) time.Duration {
	each := l.latency
	for _, s := range l.starts {
		each = max(each, now.Sub(s))
	}
	return each
}

// estimate is how long the next waiter would wait for its slot. With success the window doubles in the time of an attempt.
func (l *lane) estimate(now time.Time) time.Duration {
	each, ahead, window, opening := l.each(now), len(l.waiters)+1, max(l.window, 1), 0
	for l.failures == 0 && ahead > window && window < l.cap {
		ahead -= window
		window = min(2*window, l.cap)
		opening++
	}
	return timemath.Add(timemath.Times(each, opening), timemath.Times(each, ahead)/time.Duration(window))
}

// hold returns for how long the next job is to be put back. Each comes a little after the one before.
func (l *lane) hold(now time.Time, spacing time.Duration) time.Duration {
	at := l.nextSlot
	if earliest := now.Add(min(max(l.estimate(now), minHold), maxEstimate)); at.Before(earliest) {
		at = earliest
	}
	if at.Before(l.openUntil) {
		at = l.openUntil
	}
	if latest := now.Add(maxHold); at.After(latest) {
		return maxHold - rand.N(maxHold/2)
	}
	l.nextSlot = at.Add(spacing)
	return at.Sub(now)
}

// spacing is how far apart jobs that are put back come back. others is how many lanes have such jobs.
func (l *lane) spacing(now time.Time, others int) time.Duration {
	pace := maxSpacing
	if l.openings == 0 && l.failures == 0 {
		pace = min(l.each(now)/time.Duration(max(l.window, 1)), maxSpacing)
	}
	return max(pace, timemath.Times(returnsEach, others))
}

// allowance is how many attempts may begin now: as many as there are slots, unless the endpoint has just come back.
func (l *lane) allowance(now time.Time) int {
	up := timemath.Elapsed(l.closed, now)
	if up >= rampFor {
		return math.MaxInt
	}
	return max(1<<(up/rampStep+1)-1-l.since, 0)
}

// succeeded closes the breaker.
func (l *lane) succeeded(now time.Time, took time.Duration) {
	l.observe(took)
	l.window = min(l.window+1, l.cap)
	l.proven, l.failures = true, 0
	if l.openings > 0 {
		l.close()
		l.closed, l.since = now, 0
	}
}

// failed counts a failure and reports whether it opened the breaker: after so many in a row, or at once if it was the probe.
func (l *lane) failed(now time.Time, took time.Duration, probe bool, b breakerConfig) bool {
	l.observe(took)
	l.window = max(l.window/2, 1)
	l.proven = false
	l.failures++
	if l.failures < b.threshold && !probe || now.Before(l.openUntil) {
		return false
	}
	l.openUntil = now.Add(b.wait(l.openings))
	l.openings++
	l.remote = false
	return true
}

// close closes the breaker.
func (l *lane) close() {
	l.openings, l.openUntil, l.remote, l.nextSlot = 0, time.Time{}, false, time.Time{}
}

func (l *lane) observe(took time.Duration) {
	took = max(took, 1)
	if l.latency == 0 {
		l.latency = took
		return
	}
	l.latency += (took - l.latency) / 8
}

func (l *lane) end(start time.Time) {
	for i, s := range l.starts {
		if s.Equal(start) {
			l.starts[i] = l.starts[len(l.starts)-1]
			l.starts = l.starts[:len(l.starts)-1]
			return
		}
	}
}

// park remembers a job that was put back, to call it before its time.
func (l *lane) park(job int64, now time.Time) {
	if len(l.parked) >= maxParked {
		return
	}
	if l.parked == nil {
		l.parked = map[int64]time.Time{}
	}
	l.parked[job] = now
	l.queue = append(l.queue, parkedJob{job, now})
}

// unpark takes out up to n jobs that have been put back for long enough.
func (l *lane) unpark(n int, now time.Time) (jobs []int64) {
	for len(l.queue) > 0 && len(jobs) < n {
		next := l.queue[0]
		if at, ok := l.parked[next.job]; ok && at.Equal(next.at) {
			if now.Sub(at) < parkedFor {
				break
			}
			delete(l.parked, next.job)
			jobs = append(jobs, next.job)
		}
		l.queue = l.queue[1:]
	}
	if len(l.parked) == 0 {
		l.queue, l.nextSlot = nil, time.Time{}
	}
	return jobs
}

func (l *lane) idle() bool {
	return len(l.starts) == 0 && len(l.waiters) == 0 && len(l.parked) == 0 && !l.probing
}

// breakerConfig says when a circuit breaker opens, and for how long.
type breakerConfig struct {
	threshold int           // failures in a row
	base, max time.Duration // of the pause, which doubles with every failed probe
}

// wait returns a pause of half to one and a half times the nominal one: endpoints that failed together must not be tried
// together again.
func (b breakerConfig) wait(openings int) time.Duration {
	d := b.base
	for range min(openings, 16) {
		d = min(timemath.Times(d, 2), b.max)
	}
	return timemath.Add(d/2, rand.N(d))
}
