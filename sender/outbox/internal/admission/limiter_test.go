package admission_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

func TestWindow_GrowsWithSuccessUpToTheConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 3)
		first := l.admit(r, 1)
		l.snooze(r, 2) // after a wait in memory
		first.Release(admission.Succeeded)
		l.succeed(r, time.Millisecond)
		held := []*admission.Permit{l.admit(r, 1), l.admit(r, 1), l.admit(r, 1)}
		l.snooze(r, 1)
		release(held, admission.Succeeded)

		r.Concurrency = 1
		last := l.admit(r, 1)
		l.snooze(r, 1)
		last.Release(admission.Succeeded)
		l.requireIdle()
	})
}

func TestWindow_HalvesWithFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		l.succeed(r, time.Millisecond)
		l.admit(r, 1).Release(admission.Failed)
		held := []*admission.Permit{l.admit(r, 1), l.admit(r, 1)}
		l.snooze(r, 1)
		release(held, admission.Succeeded)
	})
}

func TestWaiter_GetsTheNextSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 1)
		begin := time.Now()
		first := l.admit(r, 1)
		got := make(chan *admission.Permit)
		go func() {
			p, _ := l.ask(r, 2)
			got <- p
		}()
		time.Sleep(50 * time.Millisecond)
		first.Release(admission.Succeeded)
		p := <-got
		require.NotNil(t, p)
		require.Equal(t, 50*time.Millisecond, time.Since(begin))
		p.Release(admission.Succeeded)
		l.requireIdle()
	})
}

func TestWaiter_OneSlotAdmitsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 1)
		first := l.admit(r, 1)
		got := make(chan *admission.Permit, 2)
		for job := range int64(2) {
			go func() {
				p, _ := l.ask(r, 2+job)
				got <- p
			}()
		}
		time.Sleep(10 * time.Millisecond)
		first.Release(admission.Succeeded)
		synctest.Wait()
		require.Len(t, got, 1)
		(<-got).Release(admission.Succeeded)
		(<-got).Release(admission.Succeeded)
		l.requireIdle()
	})
}

// A burst to a new endpoint that answers quickly is not snoozed, since its
// window soon grows.
func TestWaiter_BurstToNewEndpointIsNotSnoozed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ concurrency, burst int }{{200, 1000}, {10, 300}, {1, 40}} {
			l, r := newLimiter(t, 300), endpoint("new", c.concurrency)
			var wg sync.WaitGroup
			for job := range int64(c.burst) {
				wg.Go(func() {
					p, snooze := l.ask(r, job)
					if p == nil {
						t.Errorf("concurrency %d: job %d was snoozed for %v", c.concurrency, job, snooze)
						return
					}
					time.Sleep(2 * time.Millisecond)
					p.Release(admission.Succeeded)
				})
				time.Sleep(10 * time.Microsecond) // they are read one after another
			}
			wg.Wait()
		}
	})
}

// Endpoints that hang or that have no history can't take the slots that healthy
// ones need.
func TestSlots_LeftForHealthyEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for failing, want := range map[bool]int{false: 14, true: 8} { // of 16: seven eighths, half
			l, good := newLimiter(t, 16), endpoint("good", 4)
			l.succeed(good, time.Millisecond)
			require.Len(t, l.fill("bad", failing), want)
			l.admit(good, 1)
			l.admit(good, 1)
		}
	})
}

// No endpoint gets more than all slots. One that is slow or failing never gets
// the last eighth.
func TestSlots_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, good, slow := newLimiter(t, 16), endpoint("good", 40), endpoint("slow", 40)
		l.succeed(good, time.Millisecond)
		l.succeed(slow, slowAfter+time.Second)
		require.True(t, l.isSuspect(slow))
		outdated := good
		outdated.Failing = true // the database does not know of the success yet
		require.False(t, l.isSuspect(outdated))
		for range 14 {
			l.admit(good, 1)
		}
		l.snooze(slow, 1)
		l.admit(good, 1)
		l.admit(good, 1)
		l.snooze(good, 1)
	})
}

func TestHealth_HangingEndpointIsSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 16), endpoint("a", 4)
		l.succeed(r, time.Millisecond)
		require.False(t, l.isSuspect(r))
		p := l.admit(r, 1)
		time.Sleep(slowAfter + time.Millisecond)
		require.True(t, l.isSuspect(r))
		p.Release(admission.Failed)
		require.True(t, l.isSuspect(r))
	})
}

// A change of a failing endpoint clears its history.
func TestHealth_ChangedEndpointIsUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 16), endpoint("a", 4)
		l.succeed(r, time.Millisecond)
		l.admit(r, 1).Release(admission.Failed)
		require.True(t, l.isSuspect(r))
		r.Version = 2
		require.False(t, l.isSuspect(r))
		l.fill("new", false)
		l.snooze(r, 1)
	})
}

// The jobs of many endpoints do not return all at once either.
func TestSnooze_SpreadsManyBacklogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const endpoints = 50
		l := newLimiter(t, 2*endpoints)
		for i := range endpoints {
			l.admit(endpoint(fmt.Sprint(i), 1), 0)
		}
		time.Sleep(time.Second)
		perSecond := map[int]int{}
		for job := range int64(40) {
			for i := range endpoints {
				perSecond[int(l.snooze(endpoint(fmt.Sprint(i), 1), job+1).Seconds())]++
			}
		}
		for second, n := range perSecond {
			require.LessOrEqual(t, n, 3*endpoints, "second %d", second)
		}
	})
}

// Every snooze is bounded, and the jobs of a backlog do not return all at once.
func TestSnooze_SpreadsABacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 2)
		p := l.admit(r, 0)
		time.Sleep(time.Second)
		perSecond := map[int]int{}
		for job := range int64(10_000) {
			snooze := l.snooze(r, job+1)
			require.LessOrEqual(t, snooze, 10*time.Minute)
			perSecond[int(snooze.Seconds())]++
		}
		for second, n := range perSecond {
			require.LessOrEqual(t, n, 60, "second %d", second)
		}
		p.Release(admission.Succeeded)
	})
}

func TestSweep_ForgetsUnusedEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 2)
		l.succeed(r, time.Millisecond)
		time.Sleep(time.Minute - time.Second)
		l.Sweep(time.Minute)
		l.admit(r, 1)
		l.admit(r, 1) // its window is remembered
		l, r = newLimiter(t, 100), endpoint("b", 2)
		l.run()
		l.succeed(r, time.Millisecond)
		time.Sleep(time.Minute + time.Second)
		l.Sweep(time.Minute)
		l.admit(r, 1)
		l.snooze(r, 1)
	})
}

func TestSweep_KeepsWhatMatters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiterWith(t, 100, admission.Breaker{Failures: 1, Pause: time.Hour, MaxPause: time.Hour})
		open, busy, backlog := endpoint("open", 1), endpoint("busy", 1), endpoint("backlog", 1)
		l.open(open)
		inFlight, held := l.admit(busy, 1), l.admit(backlog, 1)
		time.Sleep(time.Second) // so that the next jobs do not wait in memory
		l.snooze(backlog, 2)
		held.Release(admission.Inconclusive)
		time.Sleep(10 * time.Minute)
		l.Sweep(time.Minute)
		l.snooze(open, 1)
		l.snooze(busy, 3)
		inFlight.Release(admission.Inconclusive)
		require.Contains(t, l.run().take(), int64(2))
	})
}

// The clock is read after waiting for the lock.
func TestClock_ReadUnderTheLock(t *testing.T) {
	t.Parallel()
	l, readings := newLimiter(t, 100), 0
	l.Clock = func() time.Time {
		readings++
		if l.TryLock() {
			t.Error("the clock was read without the lock")
		}
		return time.Now()
	}
	r, open := endpoint("a", 4), endpoint("open", 4)
	l.open(open)
	limited := r
	limited.Interval, limited.Slots = time.Hour, &slots{interval: time.Hour, last: time.Now()}
	for name, use := range map[string]func(){
		"admit":        func() { l.admit(r, 1).Release(admission.Succeeded) },
		"snooze":       func() { l.snooze(open, 1) },
		"rate limited": func() { l.snooze(limited, 1) },
		"sweep":        func() { l.Sweep(time.Minute) },
	} {
		before := readings
		use()
		require.Greater(t, readings, before, name)
	}
}

// A time that is older than the last change counts as the time of that change.
func TestClock_ReadingsInAnyOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 4)
		var back time.Duration
		l.Clock = func() time.Time { return time.Now().Add(-back) }
		for i := range 20 {
			p := l.admit(r, 1)
			back = time.Duration(i) * time.Hour
			p.Release(admission.Succeeded)
			back = 0
		}
		require.False(t, l.isSuspect(r))
		until := l.open(r)
		time.Sleep(time.Until(until))
		l.admit(r, 1).Release(admission.Succeeded)
		back = time.Hour
		l.admit(r, 2).Release(admission.Succeeded)
		l.snooze(r, 3) // the ramp has begun
	})
}

func TestBreaker_PausesWithoutOverflow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const forever = 1<<63 - 1
		l := newLimiterWith(t, 100, admission.Breaker{Failures: 1, Pause: forever - 1, MaxPause: forever})
		for i := range 100 {
			r := endpoint(fmt.Sprint(i), 1)
			require.True(t, l.open(r).After(time.Now()))
			l.snooze(r, 1)
		}
	})
}
