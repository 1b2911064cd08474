package jobdb_test

import (
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
)

// Three processes run each job once, and never more at once than they may.
func TestWork_OnceByOneOfSeveralProcesses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		const processes, atOnce, each = 3, 7, 150
		db := migrated(t, open)
		var mu sync.Mutex
		ran := map[string]int{}
		for p := range processes {
			own := open()
			q, running := newQueue(own), atomic.Int64{}
			start(t, q, func(ctx context.Context, c jobdb.Claim) jobdb.Next {
				defer running.Add(-1)
				assert.LessOrEqual(t, running.Add(1), int64(atOnce))
				var ref string
				assert.NoError(t, own.Reader().QueryRow(ctx, "SELECT ref FROM {schema}thing_job WHERE id = ?", c.Job).Scan(&ref))
				assert.Equal(t, ref, c.Ref)
				mu.Lock()
				defer mu.Unlock()
				ran[c.Ref]++
				return jobdb.Done()
			}, func(c *jobdb.QueueConfig) { c.AtOnce = atOnce })
			var all []jobdb.NewJob
			for i := range each {
				all = append(all, jobdb.NewJob{Ref: fmt.Sprint(p*each + i)})
			}
			insert(t, own, q, all...)
		}
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		mu.Lock()
		defer mu.Unlock()
		require.Len(t, ran, processes*each)
		for ref, n := range ran {
			assert.Equal(t, 1, n, ref)
		}
	})
}

// A process has claimed no more jobs than it may run, and runs as many.
func TestWork_AtOnce(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		insert(t, db, q, many()[:100]...)
		exec(t, db, "UPDATE {schema}thing_job SET run_at = 0")
		w, claims, next := hold(t)
		start(t, q, w, func(c *jobdb.QueueConfig) { c.AtOnce = 4 })
		for left := 100; left >= 50; left-- {
			claimed := 0
			for _, j := range jobs(t, db) {
				if j.ClaimedUntil > 0 {
					claimed++
				}
			}
			require.LessOrEqual(t, claimed, 4)
			receive(t, claims)
			next <- jobdb.Done()
		}
		for range 3 {
			receive(t, claims)
		}
	})
}

// A job that waits is not run early, by the clock of the database. One that
// waits for long does not run.
func TestWork_WhenDue(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		var mu sync.Mutex
		var order []string
		start(t, q, func(ctx context.Context, c jobdb.Claim) jobdb.Next {
			var early int64
			assert.NoError(t, db.Reader().QueryRow(ctx, "SELECT run_at - {now} FROM {schema}thing_job WHERE id = ?", c.Job).Scan(&early))
			assert.LessOrEqual(t, early, int64(0), c.Ref)
			mu.Lock()
			defer mu.Unlock()
			order = append(order, c.Ref)
			return jobdb.Done()
		})
		insert(t, db, q, jobdb.NewJob{Ref: "at once"}, jobdb.NewJob{Ref: "in an hour", Wait: time.Hour},
			jobdb.NewJob{Ref: "soon", Wait: 300 * time.Millisecond}, jobdb.NewJob{Ref: "long ago", Wait: -time.Hour})
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 1 }, patience, tick)
		assert.Equal(t, []string{"in an hour"}, refs(t, db))
		mu.Lock()
		defer mu.Unlock()
		assert.ElementsMatch(t, []string{"at once", "soon", "long ago"}, order)
	})
}

// The jobs that have been due for the longest time run first.
func TestWork_LongestDueFirst(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		insert(t, db, q, jobdb.NewJob{Ref: "30"}, jobdb.NewJob{Ref: "20"}, jobdb.NewJob{Ref: "10"}, jobdb.NewJob{Ref: "21"})
		exec(t, db, "UPDATE {schema}thing_job SET run_at = CASE ref WHEN '30' THEN 30 WHEN '10' THEN 10 ELSE 20 END")
		ran := make(chan string, 10)
		start(t, q, func(_ context.Context, c jobdb.Claim) jobdb.Next {
			ran <- c.Ref
			return jobdb.Done()
		}, func(c *jobdb.QueueConfig) { c.AtOnce = 1 })
		for _, want := range []string{"10", "20", "21", "30"} {
			require.Equal(t, want, receive(t, ran))
		}
	})
}

func TestNext_After(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		const wait = 200 * time.Millisecond
		db := migrated(t, open)
		q := newQueue(db)
		times := make(chan int64, 10)
		start(t, q, func(context.Context, jobdb.Claim) jobdb.Next {
			times <- now(t, db)
			if len(times) < 3 {
				return jobdb.After(wait)
			}
			return jobdb.Done()
		})
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		first, second, third := receive(t, times), receive(t, times), receive(t, times)
		assert.GreaterOrEqual(t, second-first, wait.Microseconds())
		assert.GreaterOrEqual(t, third-second, wait.Microseconds())
	})
}

// A worker that has deleted its job says so, and a job stays of which it only
// says so.
func TestNext_Finished(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q, ran := newQueue(db), make(chan string, 10)
		start(t, q, func(ctx context.Context, c jobdb.Claim) jobdb.Next {
			defer func() { ran <- c.Ref }()
			if c.Ref == "only says so" {
				return jobdb.Finished()
			}
			err := db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
				exec(t, tx, "INSERT INTO {schema}thing (name) VALUES (?)", c.Ref)
				if err := q.FinishTx(ctx, tx, []int64{c.Job}); err != nil || c.Ref == "finishes" {
					return err
				}
				return errFailed
			})
			if err != nil {
				return jobdb.After(time.Hour)
			}
			return jobdb.Finished()
		})
		insert(t, db, q, jobdb.NewJob{Ref: "only says so"}, jobdb.NewJob{Ref: "finishes"}, jobdb.NewJob{Ref: "rolls back"})
		for range 3 {
			receive(t, ran)
		}
		stop(t, q)
		left := jobs(t, db)
		require.Len(t, left, 2)
		assert.Positive(t, left[0].ClaimedUntil, "until its lease ends")
		assert.Equal(t, "rolls back", left[1].Ref)
		assert.Zero(t, left[1].ClaimedUntil)
		assert.Equal(t, 1, count(t, db, "name = 'finishes'"))
		assert.Zero(t, count(t, db, "name = 'rolls back'"))
	})
}

// hasten makes failed jobs due until the test ends.
func hasten(t *testing.T, db *jobdb.DB) {
	t.Helper()
	var running sync.WaitGroup
	ended := make(chan struct{})
	running.Go(func() {
		for {
			select {
			case <-ended:
				return
			case <-time.After(tick):
			}
			_, err := db.Exec(context.WithoutCancel(t.Context()), "UPDATE {schema}thing_job SET run_at = 0 WHERE failures > 0 AND claimed_until = 0")
			assert.NoError(t, err)
		}
	})
	t.Cleanup(func() {
		close(ended)
		running.Wait()
	})
}

// A claim says how often in a row its job has failed.
func TestNext_FailedCounts(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, log := migrated(t, open), &logged{}
		q, seen := newQueue(db), make(chan int, 10)
		ends := []jobdb.Next{jobdb.Failed(errFailed), jobdb.Failed(errFailed), jobdb.After(0), jobdb.Failed(errFailed), jobdb.Done()}
		var calls atomic.Int64
		start(t, q, func(_ context.Context, c jobdb.Claim) jobdb.Next {
			seen <- c.Failures
			return ends[calls.Add(1)-1]
		}, to(log))
		hasten(t, db)
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		for _, want := range []int{0, 1, 2, 0, 1} {
			require.Equal(t, want, receive(t, seen))
		}
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		assert.Equal(t, "test: a job failed; it will be tried again job=one error=failed", log.all()[0])
		assert.Len(t, log.all(), 3)
	})
}

// The longest pause doubles with each failure up to 32 seconds.
func TestNext_FailedPauses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		insert(t, db, q, many()[:150]...)
		exec(t, db, "UPDATE {schema}thing_job SET run_at = 0, failures = CASE WHEN id % 2 = 0 THEN 0 ELSE 1000 END")
		begun, failed := now(t, db), make(chan struct{}, 1000)
		start(t, q, func(context.Context, jobdb.Claim) jobdb.Next {
			failed <- struct{}{}
			return jobdb.Failed(errFailed)
		}, func(c *jobdb.QueueConfig) { c.AtOnce = 150 })
		for range 150 {
			receive(t, failed)
		}
		stop(t, q)
		ended, longest := now(t, db), map[bool]int64{}
		for _, j := range jobs(t, db) {
			often := j.Failures > 1000
			longest[often] = max(longest[often], j.RunAt)
		}
		second := time.Second.Microseconds()
		assert.Greater(t, longest[false], begun+second/2)
		assert.Less(t, longest[false], ended+8*second, "some may have failed again")
		assert.Greater(t, longest[true], begun+16*second)
		assert.Less(t, longest[true], ended+32*second)
	})
}

// A fault of a worker is a failure of its job.
func TestWork_Faults(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, faults, log := migrated(t, open), contain.New("test", nil), &logged{}
		q := jobdb.NewQueue(db, table, faults)
		start(t, q, func(_ context.Context, c jobdb.Claim) jobdb.Next {
			switch c.Failures {
			case 0:
				panic("out of cheese")
			case 1:
				runtime.Goexit()
			}
			return jobdb.Done()
		}, to(log), func(c *jobdb.QueueConfig) { c.AtOnce = 1 })
		hasten(t, db)
		insert(t, db, q, jobdb.NewJob{Ref: "one"}, jobdb.NewJob{Ref: "two"})
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		assert.Equal(t, map[string]uint64{"queue": 4}, faults.Counts())
		require.Len(t, log.all(), 4)
		assert.ElementsMatch(t, []string{
			"test: a job failed; it will be tried again job=one error=panicked: out of cheese",
			"test: a job failed; it will be tried again job=two error=panicked: out of cheese",
			"test: a job failed; it will be tried again job=one error=the worker ended its goroutine",
			"test: a job failed; it will be tried again job=two error=the worker ended its goroutine",
		}, log.all())
	})
}

// A worker has the time of the configuration.
func TestWork_Timeout(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q, causes := newQueue(db), make(chan error, 1)
		start(t, q, func(ctx context.Context, _ jobdb.Claim) jobdb.Next {
			<-ctx.Done()
			causes <- context.Cause(ctx)
			return jobdb.Done()
		}, func(c *jobdb.QueueConfig) { c.Timeout = time.Millisecond })
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		require.ErrorIs(t, receive(t, causes), context.DeadlineExceeded)
	})
}
