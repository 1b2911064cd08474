package jobdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// rename takes the table of jobs away, as a database that is down, until the
// returned function is called.
func rename(t *testing.T, db *jobdb.DB) (back func()) {
	t.Helper()
	exec(t, db, "ALTER TABLE {schema}"+table+" RENAME TO away")
	return func() { exec(t, db, "ALTER TABLE {schema}away RENAME TO "+table) }
}

// A job whose settlement has failed is settled as soon as the database is back.
// It does not wait for the end of its lease.
func TestSettle_DatabaseComesBack(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, log := migrated(t, open), &logged{}
		q := newQueue(db)
		w, claims, returns := hold(t)
		start(t, q, w, to(log), func(c *jobdb.QueueConfig) { c.AtOnce = 1 }) // a claim would fail as well
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		require.Equal(t, 0, receive(t, claims).Lost)
		back := rename(t, db)
		returns <- jobdb.After(0)
		require.Eventually(t, func() bool { return len(log.all()) > 0 }, patience, tick)
		assert.Contains(t, log.all()[0], "test: storing what becomes of a job; it will be tried again job=one error=")
		back()
		assert.Equal(t, 0, receive(t, claims).Lost, "the claim was not lost")
		returns <- jobdb.Done()
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
	})
}

// Stop does not wait for a database that is down. The lease frees the job.
func TestStop_DatabaseIsDown(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, log := migrated(t, open), &logged{}
		q := newQueue(db)
		start(t, q, func(ctx context.Context, _ jobdb.Claim) jobdb.Next {
			<-ctx.Done()
			return jobdb.Failed(context.Cause(ctx))
		}, to(log), func(c *jobdb.QueueConfig) { c.AtOnce, c.StopTimeout = 1, time.Millisecond })
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		require.Eventually(t, func() bool { return jobs(t, db)[0].ClaimedUntil > 0 }, patience, tick)
		back := rename(t, db)
		stop(t, q)
		back()
		assert.Positive(t, jobs(t, db)[0].ClaimedUntil)
		assert.Contains(t, log.all()[len(log.all())-1], "test: releasing a job; it runs again when its lease has ended job=one")
	})
}
