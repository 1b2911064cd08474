package admission_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// slots are the rate slots of an endpoint in memory, as the database has them.
type slots struct {
	mu       sync.Mutex
	interval time.Duration
	last     time.Time
	takes    int           // calls
	latency  time.Duration // of the database
	err      error
}

func (s *slots) Take(_ context.Context, hold time.Duration) (bool, time.Duration, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.takes++
	now := time.Now()
	defer time.Sleep(s.latency) // fake time of the bubble
	if wait := s.last.Add(s.interval).Sub(now); wait > 0 {
		return false, wait, s.err
	}
	if s.last = s.last.Add(s.interval); now.Sub(s.last) >= s.interval {
		s.last = now
	}
	s.last = s.last.Add(hold)
	return true, s.last.Add(s.interval).Sub(now), s.err
}

// limited is a request to an endpoint with a rate limit whose next slot is the
// given time away.
func limited(interval, in time.Duration) (admission.Request, *slots) {
	s := &slots{interval: interval, last: time.Now().Add(in - interval)}
	r := endpoint("a", 10)
	r.Interval, r.Slots = s.interval, s
	return r, s
}

func TestRate_WaitsForAnEarlySlotInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute, 50*time.Millisecond)
		begin := time.Now()
		l.admit(r, 1).Release(admission.Succeeded)
		require.Equal(t, 50*time.Millisecond, time.Since(begin))
		require.Equal(t, 2, s.takes)
	})
}

// Jobs that have to wait for long return when it is their turn, without asking
// the database before.
func TestRate_SnoozesUntilTheSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute, 0)
		l.admit(r, 1).Release(admission.Succeeded)
		require.Equal(t, time.Minute, l.snooze(r, 2))
		require.Equal(t, 2*time.Minute, l.snooze(r, 3))
		require.Equal(t, 1, s.takes)
		for job := range int64(1000) {
			require.LessOrEqual(t, l.snooze(r, 4+job), time.Hour)
		}
		time.Sleep(time.Minute)
		l.admit(r, 2).Release(admission.Succeeded)
	})
}

// attempts sends the jobs of an endpoint until all are sent, as the workers do,
// and returns when each attempt began.
func (l *limiter) attempts(r admission.Request, jobs int64, takes time.Duration) (at []time.Time) {
	var (
		mu sync.Mutex
		wg sync.WaitGroup
	)
	var attempt func(job int64)
	attempt = func(job int64) {
		p, snooze := l.ask(r, job)
		if p == nil {
			wg.Go(func() {
				time.Sleep(snooze) // fake time of the bubble
				l.mu.Lock()
				_, asleep := l.asleep[r.Endpoint][job]
				l.mu.Unlock()
				if asleep {
					attempt(job)
				}
			})
			return
		}
		mu.Lock()
		at = append(at, time.Now())
		mu.Unlock()
		time.Sleep(takes) // fake time of the bubble
		p.Release(admission.Succeeded)
	}
	w := l.run()
	for job := range jobs {
		wg.Go(func() { attempt(job) })
	}
	for sent := 0; sent < int(jobs); time.Sleep(pollInterval) { // fake time of the bubble
		for _, job := range w.drain() {
			wg.Go(func() { attempt(job) })
		}
		mu.Lock()
		sent = len(at)
		mu.Unlock()
	}
	wg.Wait()
	return at
}

// busiest returns the largest number of attempts in any second.
func busiest(at []time.Time) (most int) {
	for first, last := 0, 0; last < len(at); last++ {
		for at[last].Sub(at[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// The first attempts are slow, and so is the database. In no second there are
// more attempts than the rate limit says, and on average there are nearly as
// many.
func TestRate_NeverExceeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, takes := range []time.Duration{time.Millisecond, 100 * time.Millisecond, 3 * time.Second} {
			for _, latency := range []time.Duration{time.Millisecond, 30 * time.Millisecond, 300 * time.Millisecond} {
				l := newLimiter(t, 100)
				r, s := limited(time.Second/20, 0)
				s.latency = latency
				p := l.admit(r, 1000)
				time.Sleep(10 * time.Second)
				p.Release(admission.Succeeded)
				at := l.attempts(r, 200, takes)
				require.Len(t, at, 200)
				require.LessOrEqual(t, busiest(at), 21, "%v, %v", takes, latency)
				if takes+latency < 100*time.Millisecond {
					require.Less(t, at[199].Sub(at[0]), 15*time.Second, "%v, %v", takes, latency)
				}
			}
		}
	})
}

// A slot is taken last. An open breaker and a busy endpoint take none.
func TestRate_TakesNoSlotInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Millisecond, 0)
		r.Concurrency = 1
		p := l.admit(r, 1)
		time.Sleep(time.Second)
		l.snooze(r, 2)
		require.Equal(t, 1, s.takes, "no permit")
		p.Release(admission.Succeeded)

		until := l.open(r)
		taken := s.takes
		require.GreaterOrEqual(t, l.snooze(r, 1), time.Until(until))
		time.Sleep(time.Until(until))
		require.Equal(t, taken, s.takes, "open breaker")
		probe := l.admit(r, 2)
		l.snooze(r, 1)
		require.Equal(t, taken+1, s.takes, "probe in flight")
		probe.Release(admission.Succeeded)
		l.requireIdle()
	})
}

// A slot that the database has granted too late is not used. The next one is
// kept free for longer.
func TestRate_LateSlotIsTakenAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(100*time.Millisecond, 0)
		s.latency = 100*time.Millisecond + 1
		l.admit(r, 1).Release(admission.Succeeded)
		require.Equal(t, 2, s.takes)
		l.requireIdle()
	})
}

// A new rate counts at once.
func TestRate_Change(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Hour, 0)
		l.admit(r, 1).Release(admission.Succeeded)
		l.snooze(r, 2)
		time.Sleep(time.Second)
		r.Interval, s.interval = time.Second, time.Second
		l.admit(r, 2).Release(admission.Succeeded)
		r.Interval = 0
		l.admit(r, 3).Release(admission.Succeeded)
	})
}

// The jobs that wait in memory are bounded.
func TestRate_BoundedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Microsecond, 0)
		s.latency = time.Millisecond
		snoozed, wg := make(chan time.Duration, 100), sync.WaitGroup{}
		for job := range int64(100) {
			wg.Go(func() {
				p, snooze := l.ask(r, job)
				if p == nil {
					snoozed <- snooze
					return
				}
				p.Release(admission.Succeeded)
			})
		}
		wg.Wait()
		require.Len(t, snoozed, 100-32)
	})
}

func TestRate_Errors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute, 0)
		s.err = errors.New("the database is down")
		_, _, err := l.Admit(t.Context(), &r)
		require.ErrorIs(t, err, s.err)
		s.err, s.last = nil, time.Now().Add(100*time.Millisecond-time.Minute)
		stopped, stop := context.WithCancelCause(t.Context())
		stop(errors.New("stopped"))
		_, _, err = l.Admit(stopped, &r)
		require.EqualError(t, err, "stopped")
		l.requireIdle()
	})
}
