package admission_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	pollInterval = 200 * time.Millisecond
	slowAfter    = time.Second            // when an attempt counts as slow
	minAsleep    = 400 * time.Millisecond // after which every snoozed job is found
	// recordedAfter is how long the queue takes to record a snooze.
	recordedAfter = 250 * time.Millisecond
	rampStep      = time.Second
	rampSteps     = 7
)

var testBreaker = admission.Breaker{Failures: 5, Pause: 10 * time.Second, MaxPause: time.Minute}

// limiter is a Limiter that a test uses in virtual time, with a database of
// snoozed jobs.
type limiter struct {
	*admission.Limiter
	t *testing.T

	mu       sync.Mutex
	asleep   map[string]map[int64]time.Time // when a job of an endpoint was snoozed
	searches int
	broken   bool // the database fails
}

func newLimiter(t *testing.T, slots int) *limiter { return newLimiterWith(t, slots, testBreaker) }

func newLimiterWith(t *testing.T, slots int, b admission.Breaker) *limiter {
	return newProcess(t, &limiter{t: t, asleep: map[string]map[int64]time.Time{}}, slots, b)
}

// newProcess returns the limiter of another process on the same database.
func newProcess(t *testing.T, l *limiter, slots int, b admission.Breaker) *limiter {
	l.Limiter = admission.New(admission.Config{Slots: slots, Breaker: b, PollInterval: pollInterval})
	return l
}

// find does what a search in the database does.
func (l *limiter) find(s admission.Search) (jobs []int64, next string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.searches++
	for _, job := range slices.Sorted(maps.Keys(l.asleep[s.Endpoint])) {
		at := l.asleep[s.Endpoint][job]
		if name := fmt.Sprintf("%012d", job); name > s.After && time.Since(at) >= recordedAfter {
			if jobs = append(jobs, job); len(jobs) == s.Most {
				next = name
				break
			}
		}
	}
	for _, job := range jobs {
		delete(l.asleep[s.Endpoint], job)
	}
	return jobs, next
}

// endpoint is a request for an attempt to an endpoint with a concurrency limit.
func endpoint(id string, concurrency int) admission.Request {
	return admission.Request{Endpoint: id, Concurrency: concurrency}
}

// ask returns what Admit returns, which is no error without a rate limit.
func (l *limiter) ask(r admission.Request, job int64) (*admission.Permit, time.Duration) {
	l.t.Helper()
	l.sleeps(r.Endpoint, job, time.Time{})
	p, snooze, err := l.Admit(l.t.Context(), &r)
	require.NoError(l.t, err)
	if p == nil {
		l.sleeps(r.Endpoint, job, time.Now())
	}
	return p, snooze
}

// sleeps stores that a job was snoozed, or with a zero time that it was not.
func (l *limiter) sleeps(endpoint string, job int64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if at.IsZero() {
		delete(l.asleep[endpoint], job)
		return
	}
	if l.asleep[endpoint] == nil {
		l.asleep[endpoint] = map[int64]time.Time{}
	}
	l.asleep[endpoint][job] = at
}

func (l *limiter) admit(r admission.Request, job int64) *admission.Permit {
	l.t.Helper()
	p, snooze := l.ask(r, job)
	require.NotNil(l.t, p, "snoozed for %v", snooze)
	return p
}

func (l *limiter) snooze(r admission.Request, job int64) time.Duration {
	l.t.Helper()
	p, snooze := l.ask(r, job)
	require.Nil(l.t, p)
	require.Positive(l.t, snooze)
	return snooze
}

// succeed makes an endpoint healthy, with its widest window.
func (l *limiter) succeed(r admission.Request, took time.Duration) {
	l.t.Helper()
	for range r.Concurrency + 1 {
		p := l.admit(r, 0)
		time.Sleep(took) // fake time of the bubble
		p.Release(admission.Succeeded)
	}
}

// open opens the breaker of an endpoint and returns when the pause ends.
func (l *limiter) open(r admission.Request) (until time.Time) {
	l.t.Helper()
	for until.IsZero() {
		until = l.admit(r, 0).Release(admission.Failed)
	}
	return until
}

// fill admits one attempt to each of many new endpoints, and returns the
// permits.
func (l *limiter) fill(name string, failing bool) (held []*admission.Permit) {
	l.t.Helper()
	for i := range 2 * l.Slots {
		r := endpoint(fmt.Sprint(name, i), 1)
		r.Failing = failing
		if p, _ := l.ask(r, 1); p != nil {
			held = append(held, p)
		}
	}
	return held
}

func release(held []*admission.Permit, o admission.Outcome) {
	for _, p := range held {
		p.Release(o)
	}
}

// requireIdle fails unless all slots are free.
func (l *limiter) requireIdle() {
	l.t.Helper()
	suspects := l.fill("suspect", true)
	release(suspects, admission.Inconclusive)
	require.Len(l.t, suspects, l.Slots/2)
	others := l.fill("new", false)
	release(others, admission.Inconclusive)
	require.Len(l.t, others, l.Slots*7/8)
}

// isSuspect reports whether an endpoint competes for the slots of suspects
// only.
func (l *limiter) isSuspect(r admission.Request) bool {
	l.t.Helper()
	held := l.fill("occupied", true)
	p, _ := l.ask(r, 0)
	if p != nil {
		held = append(held, p)
	}
	release(held, admission.Inconclusive)
	return p == nil
}

// woken collects the jobs that Limiter.Run wakes up.
type woken struct {
	mu   sync.Mutex
	jobs []int64
}

// run starts Limiter.Run until the test ends.
func (l *limiter) run() *woken {
	w := &woken{}
	ctx, cancel := context.WithCancel(l.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.Run(ctx, func(_ context.Context, all []admission.Search) (found []admission.Found) {
			w.mu.Lock()
			defer w.mu.Unlock()
			require.LessOrEqual(l.t, len(all), admission.MaxSearches)
			if l.broken {
				return nil
			}
			for _, s := range all {
				jobs, next := l.find(s)
				w.jobs = append(w.jobs, jobs...)
				found = append(found, admission.Found{Woken: len(jobs), Next: next})
			}
			return found
		})
	}()
	l.t.Cleanup(func() { cancel(); <-done })
	return w
}

// take waits for two polls and returns the jobs that were woken up.
func (w *woken) take() []int64 {
	time.Sleep(2 * pollInterval) // fake time of the bubble
	return w.drain()
}

// drain returns the jobs that were woken up.
func (w *woken) drain() []int64 {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	jobs := w.jobs
	w.jobs = nil
	return jobs
}
