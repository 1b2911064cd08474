package jobdb_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestStop_NeverStarted(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		require.NoError(t, q.Stop(t.Context()))
		exec(t, db, "DROP TABLE {schema}thing_job")
		require.Error(t, q.Start(t.Context(), config(done)))
		require.NoError(t, q.Stop(t.Context()))
		assert.False(t, q.Started())
	})
}

// Stop waits for jobs, whose contexts go on, and afterwards nothing is claimed.
func TestStop_WaitsForJobs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q, began := newQueue(db), make(chan struct{})
		var ended, calls atomic.Int64
		start(t, q, func(ctx context.Context, _ jobdb.Claim) jobdb.Next {
			calls.Add(1)
			close(began)
			select {
			case <-ctx.Done():
				assert.Fail(t, "its context has ended")
			case <-time.After(100 * time.Millisecond):
			}
			ended.Add(1)
			return jobdb.Done()
		}, func(c *jobdb.QueueConfig) { c.StopTimeout = patience })
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		receive(t, began)
		stop(t, q)
		assert.EqualValues(t, 1, ended.Load())
		assert.Empty(t, jobs(t, db))

		insert(t, db, q, jobdb.NewJob{Ref: "late"})
		stop(t, q)
		assert.Zero(t, jobs(t, db)[0].ClaimedUntil)
		assert.EqualValues(t, 1, calls.Load())
	})
}

// Jobs that Stop interrupts are free at once. They have neither failed nor
// succeeded.
func TestStop_ReleasesInterruptedJobs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		insert(t, db, q, jobdb.NewJob{Ref: "fresh"}, jobdb.NewJob{Ref: "failed"}, jobdb.NewJob{Ref: "later"})
		exec(t, db, "UPDATE {schema}thing_job SET failures = 5 WHERE ref <> 'fresh'")
		before, causes, log := jobs(t, db), make(chan error, 3), &logged{}
		begun := make(chan jobdb.Claim, 3)
		start(t, q, func(ctx context.Context, c jobdb.Claim) jobdb.Next {
			begun <- c
			<-ctx.Done()
			causes <- context.Cause(ctx)
			if c.Ref == "later" {
				return jobdb.After(time.Hour)
			}
			return jobdb.Failed(ctx.Err())
		}, func(c *jobdb.QueueConfig) { c.StopTimeout = time.Millisecond }, to(log))
		for range 3 {
			receive(t, begun)
		}
		stop(t, q)
		for range 3 {
			require.ErrorContains(t, receive(t, causes), "the queue was stopped")
		}
		assert.Empty(t, log.all())
		after := jobs(t, db)
		assert.Equal(t, before[:2], after[:2])
		assert.Greater(t, after[2].RunAt, now(t, db))
		assert.Zero(t, after[2].ClaimedUntil+after[2].Failures)

		other, failures := newQueue(open()), make(chan int, 2)
		start(t, other, func(_ context.Context, c jobdb.Claim) jobdb.Next {
			failures <- c.Failures
			return jobdb.Done()
		})
		assert.ElementsMatch(t, []int{0, 5}, []int{receive(t, failures), receive(t, failures)})
	})
}

// The error of Stop says how many jobs run. It can be called again.
func TestStop_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		insert(t, db, q, jobdb.NewJob{Ref: "one"}, jobdb.NewJob{Ref: "two"})
		w, claims, next := hold(t)
		start(t, q, w)
		receive(t, claims)
		receive(t, claims)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := q.Stop(ctx)
		require.ErrorIs(t, err, context.Canceled)
		require.ErrorContains(t, err, "2 jobs are still running")
		next <- jobdb.Done()
		require.Eventually(t, func() bool { return strings.HasPrefix(q.Stop(ctx).Error(), "1 jobs are still running") }, patience, tick)
		next <- jobdb.Done()
		stop(t, q)
		assert.Empty(t, jobs(t, db))
	})
}

// A process that was stopped changes no jobs.
func TestStop_ClaimsNoMore(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q := newQueue(db)
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		exec(t, db, "UPDATE {schema}thing_job SET run_at = 1, failures = 3")
		before := jobs(t, db)
		watch(t, db)
		q.ClaimStopped(config(done))
		assert.Equal(t, before, jobs(t, db))
		assert.Zero(t, count(t, db, "name = 'updated'"))
	})
}

// watch has the database note that a job was updated.
func watch(t *testing.T, db *jobdb.DB) {
	t.Helper()
	const note = `INSERT INTO {schema}thing (name) VALUES ('updated') ON CONFLICT DO NOTHING;`
	if db.Dialect() == jobdb.SQLite {
		exec(t, db, `CREATE TRIGGER noting AFTER UPDATE ON thing_job BEGIN `+note+` END`)
		return
	}
	run(t, db, db.Text(`CREATE FUNCTION {schema}note() RETURNS trigger LANGUAGE plpgsql AS `)+"$$ BEGIN "+db.Text(note)+" RETURN NULL; END $$")
	exec(t, db, `CREATE TRIGGER noting AFTER UPDATE ON {schema}thing_job FOR EACH ROW EXECUTE FUNCTION {schema}note()`)
}

// A Start that fails has started nothing, and can be tried again.
func TestStart_Again(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		exec(t, db, "ALTER TABLE {schema}thing_job RENAME TO hidden")
		q := newQueue(db)
		require.ErrorContains(t, q.Start(t.Context(), config(done)), "looking for jobs")
		require.False(t, q.Started())
		exec(t, db, "ALTER TABLE {schema}hidden RENAME TO thing_job")
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, q.Start(canceled, config(done)), context.Canceled)

		ctx, end := context.WithCancel(t.Context())
		require.NoError(t, q.Start(ctx, config(func(ctx context.Context, _ jobdb.Claim) jobdb.Next {
			assert.NoError(t, ctx.Err())
			return jobdb.Done()
		})))
		t.Cleanup(func() { stop(t, q) })
		end() // it was only for the start
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
		require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
	})
}

// The database comes back that Start could not reach. While the queue runs,
// it goes away once more.
func TestStart_DatabaseComesBack(t *testing.T) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
	require.NoError(t, err)
	config.MaxConns = sqldbtest.MaxConns
	var away atomic.Bool
	dial := (&net.Dialer{}).DialContext
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if away.Load() {
			return nil, &net.OpError{Op: "dial", Err: errors.Join(io.ErrClosedPipe)}
		}
		return dial(ctx, network, address)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	db, log := migrated(t, func() *jobdb.DB { return onPool(t, pool) }), &logged{}
	q := newQueue(db)
	away.Store(true)
	pool.Reset()
	err = q.Start(t.Context(), jobdb.QueueConfig{AtOnce: 1, Lease: patience})
	require.ErrorIs(t, err, io.ErrClosedPipe)

	away.Store(false)
	start(t, q, done, to(log))
	insert(t, db, q, jobdb.NewJob{Ref: "one"})
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)

	away.Store(true)
	pool.Reset()
	require.Eventually(t, func() bool { return len(log.all()) > 0 }, patience, tick)
	assert.Contains(t, log.all()[0], "test: looking for due jobs; it will be tried again error=")
	assert.Contains(t, log.all()[0], "check that the database server runs")
	away.Store(false)
	insert(t, db, newQueue(db), jobdb.NewJob{Ref: "two"})
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
}
