package jobdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func done(context.Context, jobdb.Claim) jobdb.Next { return jobdb.Done() }

// listeners returns the backends that listen to the database's queue.
func listeners(t *testing.T, db *jobdb.DB) []int64 {
	t.Helper()
	pids, err := jobdb.Collect(t.Context(), db, func(r jobdb.Row) (pid int64, err error) { return pid, r.Scan(&pid) },
		"SELECT pid::bigint FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %' AND state = 'idle'")
	require.NoError(t, err)
	return pids
}

func awaitListener(t *testing.T, db *jobdb.DB) (pid int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		all := listeners(t, db)
		if len(all) == 1 {
			pid = all[0]
		}
		return len(all) == 1
	}, patience, tick)
	return pid
}

// A queue that never polls finds jobs by a kick of its own process.
func TestKick(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := open()
		require.NoError(t, db.Prepare(t.Context(), "test", steps, jobdb.Setup{Polling: true}))
		q := newQueue(db)
		q.NeverPoll()
		start(t, q, done)
		for range 3 {
			insert(t, db, q, jobdb.NewJob{Ref: "one"}, jobdb.NewJob{Ref: "two"})
			require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		}
	})
}

// A queue finds the jobs of a process that does not kick it.
func TestPolling(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := open()
		require.NoError(t, db.Prepare(t.Context(), "test", steps, jobdb.Setup{Polling: true}))
		start(t, newQueue(db), done)
		for range 3 {
			insert(t, db, newQueue(db), jobdb.NewJob{Ref: "one"})
			require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		}
		if db.Dialect() == jobdb.Postgres {
			assert.Empty(t, listeners(t, db))
		}
	})
}

// A process that never polls hears of the jobs of another one, also after its
// connection was lost.
func TestListen(t *testing.T) {
	t.Parallel()
	url := sqldbtest.NewDatabase(t)
	open := func() *jobdb.DB { return onPool(t, sqldbtest.OpenPool(t, url)) }
	db, log := migrated(t, open), &logged{}
	q := newQueue(open())
	q.NeverPoll()
	start(t, q, done, to(log))
	var last int64
	for range 2 {
		require.Eventually(t, func() bool { return awaitListener(t, db) != last }, patience, tick)
		last = awaitListener(t, db)
		for range 2 {
			// The queue looks when it has begun to listen, and again soon after it
			// has found a job. Only a notification makes it look later than that. On
			// a slow machine this proves less.
			time.Sleep(200 * time.Millisecond)
			insert(t, db, newQueue(db), jobdb.NewJob{Ref: "one"})
			require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
		}
		exec(t, db, "SELECT pg_terminate_backend(?::bigint::int)", last)
	}
	require.Eventually(t, func() bool { return len(log.all()) == 2 }, patience, tick)
	for _, line := range log.all() {
		assert.Contains(t, line, "test: listening for new jobs, which are polled for meanwhile; it will be tried again")
	}
}

// subscriber is a connection that listens to the notifications of one table.
type subscriber struct {
	t    *testing.T
	conn *pgx.Conn
}

func subscribe(t *testing.T, url string) subscriber {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	_, err = conn.Exec(t.Context(), `LISTEN "deployhook.jobdb_test.thing_job"`)
	require.NoError(t, err)
	return subscriber{t, conn}
}

// count returns the number of notifications so far.
func (s subscriber) count() (n int) {
	s.t.Helper()
	_, err := s.conn.Exec(s.t.Context(), `SELECT pg_notify('deployhook.jobdb_test.thing_job', 'last')`)
	require.NoError(s.t, err)
	for {
		got, err := s.conn.WaitForNotification(s.t.Context())
		require.NoError(s.t, err)
		if got.Payload == "last" {
			return n
		}
		n++
	}
}

// Notifications are only for new jobs in the queue's own table.
func TestInsert_NotifiesOfItsOwnJobs(t *testing.T) {
	t.Parallel()
	url := sqldbtest.NewDatabase(t)
	pool := sqldbtest.OpenPool(t, url)
	db := migrated(t, func() *jobdb.DB { return onPool(t, pool) })
	other, err := jobdb.NewPostgres(pool, "another")
	require.NoError(t, err)
	require.NoError(t, other.Migrate(t.Context(), "test", steps))
	s := subscribe(t, url)
	insert(t, other, newQueue(other), jobdb.NewJob{Ref: "other"})
	insert(t, db, newQueue(db))
	require.Zero(t, s.count())
	insert(t, db, newQueue(db), jobdb.NewJob{Ref: "own"})
	require.Equal(t, 1, s.count())
}

// A process tells others at most once in a while.
func TestInsert_NotifiesOnceInAWhile(t *testing.T) {
	t.Parallel()
	url := sqldbtest.NewDatabase(t)
	pool := sqldbtest.OpenPool(t, url)
	db := migrated(t, func() *jobdb.DB { return onPool(t, pool) })
	s, q, began := subscribe(t, url), newQueue(db), time.Now()
	for range 200 {
		insert(t, db, q, jobdb.NewJob{Ref: "one"})
	}
	most := 1 + int(time.Since(began)/(10*time.Millisecond))
	n := s.count()
	assert.Positive(t, n)
	assert.LessOrEqual(t, n, most)
}
