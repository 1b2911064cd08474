package admission_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// The jobs that wait to be woken up are bounded, and passed on in batches.
func TestWake_Bounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 1)
		l.Wake(make([]int64, 20_000))
		l.Wake(make([]int64, 20_000))
		ctx, cancel := context.WithCancel(t.Context())
		total := 0
		go l.Run(ctx, func(_ context.Context, jobs []int64) []int64 {
			require.LessOrEqual(t, len(jobs), admission.WakeBatch)
			total += len(jobs)
			return nil
		})
		synctest.Wait()
		cancel()
		require.Equal(t, 20_000, total)
	})
}

// Jobs that could not be woken up are passed on again at the next poll.
func TestWake_Again(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		calls := make(chan []int64, 3)
		go l.Run(ctx, func(_ context.Context, jobs []int64) []int64 {
			calls <- jobs
			return jobs[1:]
		})
		begin := time.Now()
		l.Wake([]int64{7, 8})
		require.Equal(t, []int64{7, 8}, <-calls)
		require.Zero(t, time.Since(begin))
		require.Equal(t, []int64{8}, <-calls)
		require.LessOrEqual(t, time.Since(begin), pollInterval)
		time.Sleep(2 * pollInterval) // fake time of the bubble
		require.Empty(t, calls)
	})
}

// A job is woken up once, and only when it has been snoozed for long enough
// that River has recorded it.
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
		time.Sleep(minAsleep - 300*time.Millisecond - time.Millisecond)
		held.Release(admission.Succeeded)
		require.Empty(t, w.drain())
		time.Sleep(time.Second)
		require.Equal(t, []int64{3, 2}, w.take())
		time.Sleep(time.Hour)
		require.Empty(t, w.take())
	})
}

// An endpoint remembers a bounded number of jobs. The others return by
// themselves.
func TestWake_BoundedBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, r := newLimiter(t, 100), endpoint("a", 1)
		held := l.admit(r, 0)
		time.Sleep(time.Second)
		for job := range int64(20_000) {
			l.snooze(r, job+1)
		}
		held.Release(admission.Inconclusive)
		w := l.run()
		woken := map[int64]bool{}
		for range 20_000 {
			jobs := w.take()
			if len(jobs) == 0 {
				break
			}
			for _, job := range jobs {
				woken[job] = true
			}
		}
		require.Len(t, woken, 10_000)

		held = l.admit(r, 0)
		time.Sleep(time.Second)
		l.snooze(r, 1_000_000)
		time.Sleep(minAsleep)
		held.Release(admission.Inconclusive)
		require.Contains(t, w.take(), int64(1_000_000), "there is room again")
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
