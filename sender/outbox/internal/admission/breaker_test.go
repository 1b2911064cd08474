package admission_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

func TestBreaker_OpensAndAdmitsSingleProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		l.succeed(r, time.Millisecond)
		var opened time.Time
		for i := range testBreaker.Failures {
			opened = l.admit(r, 1).Release(admission.Failed)
			require.Equal(t, i == testBreaker.Failures-1, !opened.IsZero())
		}
		pause := time.Until(opened)
		require.GreaterOrEqual(t, pause, testBreaker.Pause/2)
		require.Less(t, pause, testBreaker.Pause*3/2)
		last := time.Duration(0)
		for job := range int64(20) {
			snooze := l.snooze(r, 100+job)
			require.GreaterOrEqual(t, snooze, pause)
			require.Greater(t, snooze, last, "they return one after another")
			last = snooze
		}
		time.Sleep(pause)
		probe := l.admit(r, 100)
		l.snooze(r, 101)
		again := probe.Release(admission.Failed)
		require.Greater(t, time.Until(again), testBreaker.Pause-1, "the pause doubles")
	})
}

// One snoozed job is woken up as a probe. The others are woken up when the
// probe has succeeded.
func TestBreaker_WakesUpTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		until := l.open(r)
		for job := range int64(20) {
			l.snooze(r, 100+job)
		}
		w := l.run()
		time.Sleep(time.Until(until) - time.Second)
		require.Empty(t, w.take())
		time.Sleep(time.Until(until) - pollInterval/2)
		woken := w.take()
		require.NotEmpty(t, woken)
		probe := l.admit(r, woken[0])
		w.take()
		require.Empty(t, w.take(), "a probe is in flight")
		probe.Release(admission.Succeeded)
		require.Len(t, w.drain(), 1, "as many as the ramp lets start")
	})
}

func TestBreaker_SuccessEndsARunOfFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		for range 3 {
			for range testBreaker.Failures - 1 {
				require.Zero(t, l.admit(r, 1).Release(admission.Failed))
			}
			l.admit(r, 1).Release(admission.Succeeded)
		}
	})
}

// The attempts to a recovered endpoint double from second to second.
func TestBreaker_RampsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backlog = 300
		l, r := newLimiter(t, 100), endpoint("a", 4)
		until := l.open(r)
		for job := range int64(backlog) {
			l.snooze(r, job)
		}
		time.Sleep(time.Until(until))
		probe := l.admit(r, 0)
		begin := time.Now()
		var (
			mu        sync.Mutex
			perSecond [20]int
			attempted = map[int64]bool{0: true}
			wg        sync.WaitGroup
		)
		attempt := func(job int64) {
			p, _ := l.ask(r, job)
			if p == nil {
				return
			}
			mu.Lock()
			if attempted[job] {
				t.Errorf("job %d was attempted twice", job)
			}
			attempted[job] = true
			perSecond[time.Since(begin)/rampStep]++
			mu.Unlock()
			time.Sleep(5 * time.Millisecond)
			p.Release(admission.Succeeded)
		}
		wake := l.run()
		probe.Release(admission.Succeeded)
		for time.Since(begin) < 15*rampStep {
			for _, job := range wake.drain() {
				wg.Go(func() { attempt(job) })
			}
			time.Sleep(5 * time.Millisecond)
		}
		wg.Wait()
		for second, n := range perSecond[:rampSteps] {
			require.Equal(t, 1<<second, n, "second %d: %v", second, perSecond)
		}
		require.Len(t, attempted, backlog, "%v", perSecond)
		require.Greater(t, perSecond[rampSteps], 64, "after the ramp the window is limit enough: %v", perSecond)
	})
}

// When the breaker opens, some attempts are in flight. Their failures neither
// lengthen the pause nor open the breaker again.
func TestBreaker_OpensOnceForABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 20)
		l.succeed(r, time.Millisecond)
		var burst []*admission.Permit
		for range 20 {
			burst = append(burst, l.admit(r, 1))
		}
		var opened []time.Time
		for _, p := range burst {
			if until := p.Release(admission.Failed); !until.IsZero() {
				opened = append(opened, until)
			}
		}
		require.Len(t, opened, 1)
		time.Sleep(time.Until(opened[0]))
		again := l.admit(r, 1).Release(admission.Failed)
		require.Less(t, time.Until(again), 2*testBreaker.Pause*3/2, "it is the second pause")
	})
}

func TestBreaker_ChangeOfTheEndpointCloses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		require.Zero(t, l.admit(r, 1).Release(admission.Gone), "it is about to be disabled for all processes")
		l.snooze(r, 1)
		r.Version = 2
		l.admit(r, 1).Release(admission.Inconclusive)
	})
}

// The outcome of an attempt with the old configuration does not affect the
// breaker of the new one, even if it was a probe.
func TestBreaker_IgnoresOutcomesOfTheOldConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, before, after := newLimiter(t, 100), endpoint("a", 2), endpoint("a", 2)
		time.Sleep(time.Until(l.open(before)))
		oldProbe := l.admit(before, 1)
		after.Version, after.BreakerOpenUntil = 2, time.Now().Add(10*time.Second)
		l.snooze(after, 2)
		time.Sleep(10 * time.Second)
		probe := l.admit(after, 3)
		require.Zero(t, oldProbe.Release(admission.Failed))
		l.snooze(after, 4) // the new probe is still in flight
		probe.Release(admission.Succeeded)
		after.BreakerOpenUntil = time.Time{}
		l.admit(after, 5).Release(admission.Succeeded)
		l.requireIdle()
	})
}

func TestBreaker_AdoptsThatOfAnotherProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		open := r
		open.BreakerOpenUntil = time.Now().Add(20 * time.Second)
		require.GreaterOrEqual(t, l.snooze(open, 1), 20*time.Second)
		l.admit(r, 1).Release(admission.Succeeded) // the other process has closed it
		l.snooze(r, 1)                             // the ramp applies here, too
		time.Sleep(rampStep)
		open.BreakerOpenUntil = time.Now().Add(1000 * time.Hour) // a wrong clock
		l.admit(open, 1).Release(admission.Succeeded)
	})
}

// Another process may open the breaker while this one has its full number of
// attempts in flight. The probe then waits for one of them to end.
func TestBreaker_ProbeKeepsToTheConcurrencyLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("slow", 1)
		slow := l.admit(r, 1)
		r.BreakerOpenUntil = time.Now().Add(5 * time.Second)
		l.snooze(r, 2)
		time.Sleep(5 * time.Second)
		l.snooze(r, 2)
		woken := l.run()
		require.Empty(t, woken.take())
		slow.Release(admission.Inconclusive)
		require.Equal(t, []int64{2}, woken.take())
		l.admit(r, 2)
	})
}

// A breaker that another process opened counts, but only if this process has
// not opened its own. At its end it is half-open.
func TestBreaker_OwnBreakerIsStronger(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("over", 4)
		r.BreakerOpenUntil = time.Now().Add(-time.Second)
		probe := l.admit(r, 1)
		l.snooze(r, 2)
		require.NotZero(t, probe.Release(admission.Failed), "one failed probe is enough")

		r = endpoint("open", 4)
		r.BreakerOpenUntil = time.Now().Add(20 * time.Second)
		l.snooze(r, 1)
		time.Sleep(20 * time.Second)
		require.NotZero(t, l.admit(r, 1).Release(admission.Failed), "one failed probe is enough")

		r = endpoint("own", 4)
		time.Sleep(time.Until(l.open(r)))
		until := l.admit(r, 1).Release(admission.Failed)
		r.BreakerOpenUntil = until.Add(20 * time.Second)
		require.Less(t, l.snooze(r, 1), time.Until(until)+20*time.Second)
		time.Sleep(time.Until(until))
		again := l.admit(r, 1).Release(admission.Failed)
		require.GreaterOrEqual(t, time.Until(again), 2*testBreaker.Pause, "the third pause")
		r.BreakerOpenUntil = time.Time{}
		l.snooze(r, 1) // the database has forgotten it, and this process has not
	})
}

// A probe needs a slot. A job that is woken up as a probe gets one.
func TestBreaker_ProbeNeedsASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 2), endpoint("a", 4)
		until := l.open(r)
		l.snooze(r, 7)
		hanging := l.admit(endpoint("b", 4), 1)
		w := l.run()
		time.Sleep(time.Until(until))
		require.Empty(t, w.take())
		l.snooze(r, 8)
		time.Sleep(minAsleep)
		hanging.Release(admission.Succeeded)
		require.Equal(t, int64(7), w.take()[0])
		probe := l.admit(r, 7)
		w.take()
		require.Empty(t, w.take(), "a probe is in flight")
		probe.Release(admission.Succeeded)
	})
}

// Endpoints that failed together are not probed together. The busiest second
// has at most twice the mean.
func TestBreaker_PausesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 5000
		l := newLimiterWith(t, 100, admission.Breaker{Failures: 1, Pause: testBreaker.Pause, MaxPause: testBreaker.MaxPause})
		perSecond := map[int]int{}
		for range n {
			r := endpoint("a", 1)
			perSecond[int(time.Until(l.open(r)).Seconds())]++
			time.Sleep(time.Hour)
			l.Sweep(time.Minute)
		}
		peak := 0
		for _, c := range perSecond {
			peak = max(peak, c)
		}
		require.LessOrEqual(t, peak, 2*n/len(perSecond))
		require.GreaterOrEqual(t, len(perSecond), 10)
	})
}

// A job can have been read before the success that has closed the breaker. It
// does not open the breaker again.
func TestBreaker_IgnoresOutdatedEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		outdated := r
		outdated.BreakerOpenUntil = l.open(r)
		time.Sleep(time.Until(outdated.BreakerOpenUntil))
		l.admit(r, 1).Release(admission.Succeeded)
		time.Sleep(rampSteps * rampStep)
		first := l.admit(outdated, 2)
		l.admit(outdated, 3).Release(admission.Succeeded) // no probe
		first.Release(admission.Succeeded)
	})
}
