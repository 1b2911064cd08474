package jobdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// impatient returns a handle whose statements fail if they wait for a lock.
func impatient(t *testing.T) (open func() *jobdb.DB) {
	t.Helper()
	url := sqldbtest.NewDatabase(t)
	return func() *jobdb.DB {
		db := onPool(t, sqldbtest.OpenPool(t, url+"&lock_timeout=100"))
		require.NoError(t, db.Migrate(t.Context(), "test", steps))
		return db
	}
}

// lock locks the row of a job until the returned function is called.
func lock(t *testing.T, db *jobdb.DB, id int64) (unlock func()) {
	t.Helper()
	tx, err := db.Pool().Begin(t.Context())
	require.NoError(t, err)
	tag, err := tx.Exec(t.Context(), "SELECT FROM "+schema+"."+table+" WHERE id = $1 FOR UPDATE", id)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	return func() { require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context()))) }
}

func TestLocked_Claim(t *testing.T) {
	t.Parallel()
	open := impatient(t)
	db, log := open(), &logged{}
	q := newQueue(db)
	ids := insert(t, db, q, jobdb.NewJob{Ref: "first"}, jobdb.NewJob{Ref: "second"}, jobdb.NewJob{Ref: "third"})
	unlock := lock(t, db, ids[0])
	start(t, q, done, to(log))
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 1 }, patience, tick)
	assert.Equal(t, []string{"first"}, refs(t, db))
	unlock()
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
	assert.Empty(t, log.all())
}

// A claim of another process can have locked the row of a job when its worker
// returns. The job is settled when the lock has ended.
func TestLocked_Settle(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]jobdb.Next{"done": jobdb.Done(), "after": jobdb.After(time.Hour), "failed": jobdb.Failed(errFailed)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pool := sqldbtest.NewPool(t)
			db, log := onPool(t, pool), &logged{}
			require.NoError(t, db.Migrate(t.Context(), "test", steps))
			q := newQueue(db)
			w, claims, returns := hold(t)
			start(t, q, w, to(log))
			ids := insert(t, db, q, jobdb.NewJob{Ref: "locked"})
			receive(t, claims)
			unlock := lock(t, db, ids[0])
			returns <- next
			require.Eventually(t, func() bool { return waitsForLock(t, pool) }, patience, tick)
			unlock()
			stop(t, q)
			all := jobs(t, db)
			assert.Equal(t, name == "done", len(all) == 0)
			for _, job := range all {
				assert.Zero(t, job.ClaimedUntil)
			}
			for _, line := range log.all() {
				assert.Contains(t, line, "a job failed")
			}
		})
	}
}

// waitsForLock reports whether a statement on jobs waits for a lock.
func waitsForLock(t *testing.T, pool *pgxpool.Pool) bool {
	t.Helper()
	var n int
	require.NoError(t, pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "+
		"AND wait_event_type = 'Lock' AND query LIKE '%"+table+"%' AND pid <> pg_backend_pid()").Scan(&n))
	return n > 0
}

func TestLocked_Wake(t *testing.T) {
	t.Parallel()
	open := impatient(t)
	db, ctx := open(), t.Context()
	q := newQueue(db)
	ids := insert(t, db, q, jobdb.NewJob{Ref: "first", Wait: time.Hour}, jobdb.NewJob{Ref: "second", Wait: time.Hour})
	unlock := lock(t, db, ids[0])
	n, err := q.Wake(ctx, ids)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
	asleep, err := q.Asleep(ctx, db, ids)
	require.NoError(t, err)
	assert.Equal(t, ids[:1], asleep)
	unlock()
	n, err = q.Wake(ctx, ids)
	require.NoError(t, err)
	assert.Equal(t, 1, n)
}
