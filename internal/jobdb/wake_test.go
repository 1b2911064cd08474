package jobdb_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

func TestWake(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := migrated(t, open), t.Context()
		q := newQueue(db)
		var all []jobdb.NewJob
		for _, ref := range []string{"asleep", "due", "claimed", "failed", "also asleep", "not asked"} {
			all = append(all, jobdb.NewJob{Ref: ref, Wait: time.Hour})
		}
		ids := insert(t, db, q, all...)
		exec(t, db, "UPDATE {schema}thing_job SET run_at = 1 WHERE ref = 'due'")
		exec(t, db, "UPDATE {schema}thing_job SET claimed_until = {now} + ? WHERE ref = 'claimed'", time.Hour.Microseconds())
		exec(t, db, "UPDATE {schema}thing_job SET claimed_until = 1, failures = 1 WHERE ref = 'failed'")
		exec(t, db, "UPDATE {schema}thing_job SET claimed_until = 1 WHERE ref = 'also asleep'") // a lease that has ended
		before := jobs(t, db)

		asked := append(slices.Clone(ids[:5]), 1<<40)
		slices.Reverse(asked)
		for _, from := range []jobdb.Querier{db, db.Reader()} {
			asleep, err := q.Asleep(ctx, from, asked)
			require.NoError(t, err)
			require.Equal(t, []int64{ids[0], ids[4]}, asleep)
		}
		begun := now(t, db)
		n, err := q.Wake(ctx, asked)
		require.NoError(t, err)
		require.Equal(t, 2, n)
		after := jobs(t, db)
		for i := range after {
			if i == 0 || i == 4 {
				assert.GreaterOrEqual(t, after[i].RunAt, begun)
				assert.LessOrEqual(t, after[i].RunAt, now(t, db))
				after[i].RunAt = before[i].RunAt
			}
		}
		require.Equal(t, before, after)
		for _, none := range [][]int64{asked, nil} {
			asleep, err := q.Asleep(ctx, db, none)
			require.NoError(t, err)
			require.Empty(t, asleep)
			n, err = q.Wake(ctx, none)
			require.NoError(t, err)
			require.Zero(t, n)
		}
	})
}

// A process runs the jobs at once that it has woken.
func TestWake_Kicks(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := open()
		require.NoError(t, db.Prepare(t.Context(), "test", steps, jobdb.Setup{Polling: true}))
		q := newQueue(db)
		q.NeverPoll()
		start(t, q, done)
		ids := insert(t, db, q, jobdb.NewJob{Ref: "one", Wait: time.Hour})
		n, err := q.Wake(t.Context(), ids)
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
	})
}

func TestRunning(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		running := func(most int64) (all []string) {
			all, err := jobdb.Collect(t.Context(), db.Reader(), func(r jobdb.Row) (ref string, err error) {
				var id int64
				return ref, r.Scan(&id, &ref)
			}, jobdb.Running(table), jobdb.RunningArgs(most)...)
			require.NoError(t, err)
			return all
		}
		q := newQueue(db)
		assert.False(t, q.Started())
		w, claims, next := hold(t)
		start(t, q, w, func(c *jobdb.QueueConfig) { c.AtOnce = 2 })
		assert.True(t, q.Started())
		insert(t, db, q, jobdb.NewJob{Ref: "first"}, jobdb.NewJob{Ref: "second"})
		receive(t, claims)
		receive(t, claims)
		insert(t, db, q, jobdb.NewJob{Ref: "due"}, jobdb.NewJob{Ref: "asleep", Wait: time.Hour}, jobdb.NewJob{Ref: "dead"})
		exec(t, db, "UPDATE {schema}thing_job SET run_at = 0, claimed_until = {now} - 1 WHERE ref = 'dead'")
		require.ElementsMatch(t, []string{"first", "second"}, running(10))
		require.Len(t, running(1), 1)
		next <- jobdb.After(time.Hour)
		receive(t, claims)
		require.Len(t, running(10), 2)
		assert.Contains(t, running(10), "dead")
	})
}
