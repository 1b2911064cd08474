package jobdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// briefly is a configuration whose leases end soon.
func briefly(c *jobdb.QueueConfig) {
	c.AtOnce, c.Timeout, c.Lease = 1, time.Millisecond, 100*time.Millisecond
}

// Another process runs a job whose worker is late. Whatever the late worker
// decides, it changes nothing.
func TestLease_AnotherProcessTakesLateJob(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		for name, next := range map[string]jobdb.Next{
			"done": jobdb.Done(), "after": jobdb.After(0), "failed": jobdb.Failed(errFailed), "finished": jobdb.Finished(),
		} {
			late, other := newQueue(db), newQueue(open())
			w, lateClaims, lateNext := hold(t)
			start(t, late, w, briefly)
			insert(t, db, late, jobdb.NewJob{Ref: name})
			first := receive(t, lateClaims)

			w, claims, otherNext := hold(t)
			start(t, other, w)
			second := receive(t, claims)
			assert.Equal(t, first.Job, second.Job)
			assert.Equal(t, name, second.Ref)
			assert.Zero(t, second.Failures, "the late worker has not failed")
			before := jobs(t, db)
			lateNext <- next
			stop(t, late)
			assert.Equal(t, before, jobs(t, db), name)

			otherNext <- jobdb.Done()
			stop(t, other)
			assert.Empty(t, jobs(t, db), name)
		}
	})
}

// The end of a lease is not the end of the late worker's job, which the worker
// can still finish. Then nothing is left for the other process to settle.
func TestLease_LateWorkerFinishes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, log := migrated(t, open), &logged{}
		late, other := newQueue(db), newQueue(open())
		w, lateClaims, lateNext := hold(t)
		start(t, late, w, briefly)
		ids := insert(t, db, late, jobdb.NewJob{Ref: "one"})
		receive(t, lateClaims)
		w, claims, otherNext := hold(t)
		start(t, other, w, to(log))
		receive(t, claims)
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *jobdb.Tx) error { return late.FinishTx(ctx, tx, ids) }))
		lateNext <- jobdb.Finished()
		otherNext <- jobdb.After(0)
		stop(t, late)
		stop(t, other)
		assert.Empty(t, jobs(t, db))
		assert.Empty(t, log.all())
	})
}

// A claim lasts for the lease by the database's clock. It ends with it, also in
// the process that has made it.
func TestLease_IsThatOfTheConfiguration(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		begun := now(t, db)
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		w, claims, next := hold(t)
		start(t, q, w, func(c *jobdb.QueueConfig) { c.Lease = time.Hour })
		receive(t, claims)
		until := jobs(t, db)[0].ClaimedUntil
		assert.GreaterOrEqual(t, until, begun+time.Hour.Microseconds())
		assert.LessOrEqual(t, until, now(t, db)+time.Hour.Microseconds())
		exec(t, db, "UPDATE {schema}thing_job SET claimed_until = {now}")
		receive(t, claims)
		next <- jobdb.Done()
		next <- jobdb.Done()
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
	})
}
