package admission_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// A job is woken up once, when the queue has recorded its snooze.
func TestWake_NotRightAfterTheSnooze(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 1)
		w := l.run()
		held := l.admit(r, 1)
		time.Sleep(time.Second)
		l.snooze(r, 2)
		l.snooze(r, 3)
		time.Sleep(300 * time.Millisecond)
		l.snooze(r, 2) // it has returned by itself
		held.Release(admission.Succeeded)
		time.Sleep(time.Millisecond)
		require.Equal(t, []int64{3}, w.drain())
		l.admit(r, 3).Release(admission.Succeeded)
		time.Sleep(time.Second)
		require.Equal(t, []int64{2}, w.take())
		time.Sleep(time.Hour)
		require.Empty(t, w.take())
	})
}

// Not only the process that has snoozed a job wakes it up. A process that has
// just started looks for such jobs when the endpoint answers.
func TestWake_JobsOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		until := l.open(r)
		for job := range int64(100) {
			l.snooze(r, job)
		}
		l = newProcess(t, l, 100, testBreaker)
		w := l.run()
		r.BreakerOpenUntil = until
		time.Sleep(time.Until(until))
		require.Empty(t, w.take(), "it does not know the endpoint")
		probe := l.admit(r, 0)
		probe.Release(admission.Succeeded)
		r.BreakerOpenUntil = time.Time{}
		begin, attempts := time.Now(), 0
		for ; time.Since(begin) < 3*rampStep; time.Sleep(10 * time.Millisecond) {
			for _, job := range w.drain() {
				l.admit(r, job).Release(admission.Succeeded)
				attempts++
			}
		}
		require.Equal(t, 1+2+4, attempts, "the ramp of the process that was stopped")
	})
}

// An endpoint that answers is searched once a minute, since another process may
// have crashed. An idle one is not.
func TestWake_SearchesOfAHealthyEndpoint(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		l.run()
		for range 10 {
			l.succeed(r, time.Millisecond)
			time.Sleep(time.Second)
		}
		require.Equal(t, 1, l.searches)
		time.Sleep(time.Hour)
		require.Equal(t, 1, l.searches)
		l.sleeps("a", 7, time.Now().Add(-time.Hour))
		l.succeed(r, time.Millisecond)
		time.Sleep(time.Second)
		synctest.Wait()
		require.Equal(t, 3, l.searches, "one finds the job, and one finds none")
	})
}

// A busy database can record a snooze after a pass that has found others. The
// next pass finds it.
func TestWake_FindsWhatWasRecordedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		l.succeed(r, time.Millisecond)
		w := l.run()
		l.sleeps("a", 1, time.Now().Add(-time.Hour))
		l.sleeps("a", 2, time.Now().Add(100*time.Millisecond-recordedAfter))
		l.Rouse("a")
		time.Sleep(time.Millisecond)
		require.Equal(t, []int64{1}, w.drain())
		l.admit(r, 1).Release(admission.Succeeded)
		require.Equal(t, []int64{2}, w.take())
	})
}

// Rouse begins a search of all jobs, also of an endpoint that the process does
// not know.
func TestWake_Rouse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		w := l.run()
		for job := range int64(20) {
			l.sleeps("a", job, time.Now().Add(-time.Hour))
		}
		l.Rouse("a")
		time.Sleep(time.Millisecond)
		woken := w.drain()
		require.Equal(t, []int64{0}, woken, "as many as the window has")
		for total := 1; total < 20; total += len(woken) {
			require.NotEmpty(t, woken)
			for _, job := range woken {
				l.admit(r, job).Release(admission.Succeeded)
			}
			woken = w.take()
		}
		time.Sleep(time.Minute)
		before := l.searches
		time.Sleep(time.Hour)
		require.Equal(t, before, l.searches, "all were found")
	})
}

// What an endpoint's jobs wait for has changed. The process learns that from
// the first of them.
func TestWake_RouseAfterAChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, open := newLimiter(t, 100), endpoint("a", 4)
		paced, _ := limited(time.Hour, 0)
		paced.Endpoint = "b"
		l.open(open)
		l.admit(paced, 1).Release(admission.Succeeded)
		l.snooze(open, 1)
		l.snooze(open, 2)
		l.snooze(paced, 3)
		l.snooze(paced, 4)
		w := l.run()
		require.Empty(t, w.take())
		l.Rouse("a")
		l.Rouse("b")
		require.ElementsMatch(t, []int64{1, 3}, w.take())
		open.Version, paced.Version, paced.Interval = 2, 2, 0
		l.admit(open, 1).Release(admission.Succeeded)
		l.admit(paced, 3).Release(admission.Succeeded)
		require.ElementsMatch(t, []int64{2, 4}, w.take())
	})
}

// If the database fails, the search is repeated.
func TestWake_DatabaseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		l.sleeps("a", 1, time.Now().Add(-time.Hour))
		l.broken = true
		w := l.run()
		l.Rouse("a")
		time.Sleep(time.Minute)
		w.mu.Lock()
		l.broken = false
		w.mu.Unlock()
		require.Equal(t, []int64{1}, w.take())
	})
}

// The jobs of a large backlog come in small groups, as many as the endpoint
// takes until the next search.
func TestWake_LargeBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const jobs = 20_000
		l, r := newLimiter(t, 100), endpoint("a", 10)
		l.succeed(r, 5*time.Millisecond)
		for job := range int64(jobs) {
			l.sleeps("a", job, time.Now().Add(-time.Hour))
		}
		w := l.run()
		l.Rouse("a")
		begin, sent := time.Now(), 0
		for sent < jobs {
			woken := w.take()
			require.LessOrEqual(t, len(woken), 1000)
			for _, job := range woken {
				l.admit(r, job).Release(admission.Succeeded)
			}
			sent += len(woken)
			require.Less(t, time.Since(begin), time.Minute, "%d sent", sent)
		}
	})
}

// With any number of endpoints that have snoozed jobs, the Limiter is locked
// for short times only, and every endpoint is searched.
func TestWake_ManyEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const endpoints = 5000
		l := newLimiter(t, 100)
		for i := range endpoints {
			id := fmt.Sprint(i)
			l.sleeps(id, int64(i), time.Now().Add(-time.Hour))
			l.Rouse(id)
		}
		readings := 0
		l.Clock = func() time.Time { readings++; return time.Now() }
		w := l.run()
		require.Len(t, w.take(), endpoints)
		require.Less(t, readings, 2*endpoints)
	})
}

// Jobs are not woken up while there is no slot for them.
func TestWake_NotWithoutASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r, good := newLimiter(t, 16), endpoint("a", 1), endpoint("good", 2)
		l.succeed(good, time.Millisecond)
		held := l.admit(r, 1)
		others := l.fill("new", false)
		time.Sleep(500 * time.Millisecond)
		l.snooze(r, 2)
		time.Sleep(minAsleep)
		l.admit(good, 1)
		l.admit(good, 1)
		w := l.run()
		held.Release(admission.Inconclusive)
		require.NotContains(t, w.take(), int64(2))
		release(others, admission.Inconclusive)
		require.Contains(t, w.take(), int64(2))
	})
}
