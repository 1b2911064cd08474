package jobdb_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
)

const (
	// patience limits waits that only a hang exceeds.
	patience = 10 * time.Minute
	tick     = 5 * time.Millisecond
)

type work = func(context.Context, jobdb.Claim) jobdb.Next

func newQueue(db *jobdb.DB) *jobdb.Queue {
	return jobdb.NewQueue(db, table, contain.New("test", nil))
}

// config returns a configuration with which no time runs out. Stop does not
// wait for jobs before it ends their contexts.
func config(w work) jobdb.QueueConfig {
	return jobdb.QueueConfig{
		Name: "test", Work: w, AtOnce: 50, Timeout: patience, Lease: 2 * patience,
		Logger: slog.New(slog.DiscardHandler),
	}
}

// start runs jobs until the test ends.
func start(t *testing.T, q *jobdb.Queue, w work, changes ...func(*jobdb.QueueConfig)) {
	t.Helper()
	c := config(w)
	for _, change := range changes {
		change(&c)
	}
	require.NoError(t, q.Start(t.Context(), c))
	t.Cleanup(func() { stop(t, q) })
}

func stop(t *testing.T, q *jobdb.Queue) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), patience)
	defer cancel()
	require.NoError(t, q.Stop(ctx))
}

// insert commits jobs and kicks the queue.
func insert(t *testing.T, db *jobdb.DB, q *jobdb.Queue, all ...jobdb.NewJob) (ids []int64) {
	t.Helper()
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *jobdb.Tx) (err error) {
		ids, err = q.Insert(ctx, tx, all)
		return err
	}))
	q.Kick()
	return ids
}

// job is a row of the table.
type job struct {
	ID                  int64
	Ref                 string
	RunAt, ClaimedUntil int64
	Failures            int64
}

// jobs returns all rows by their IDs.
func jobs(t *testing.T, db *jobdb.DB) []job {
	t.Helper()
	all, err := jobdb.Collect(context.WithoutCancel(t.Context()), db, func(r jobdb.Row) (j job, err error) {
		return j, r.Scan(&j.ID, &j.Ref, &j.RunAt, &j.ClaimedUntil, &j.Failures)
	}, "SELECT id, ref, run_at, claimed_until, failures FROM {schema}thing_job ORDER BY id")
	require.NoError(t, err)
	return all
}

func refs(t *testing.T, db *jobdb.DB) (all []string) {
	t.Helper()
	for _, j := range jobs(t, db) {
		all = append(all, j.Ref)
	}
	return all
}

// now returns the time of the database's clock in microseconds, as statements
// see it.
func now(t *testing.T, db *jobdb.DB) (micros int64) {
	t.Helper()
	require.NoError(t, db.QueryRow(context.WithoutCancel(t.Context()), "SELECT {now}").Scan(&micros))
	return micros
}

func exec(t *testing.T, q jobdb.Querier, statement string, args ...any) {
	t.Helper()
	_, err := q.Exec(t.Context(), statement, args...)
	require.NoError(t, err)
}

// receive waits for a value.
func receive[T any](t *testing.T, from <-chan T) (v T) {
	t.Helper()
	select {
	case v = <-from:
	case <-time.After(patience):
		require.FailNow(t, "nothing has come")
	}
	return v
}

// hold returns a worker that tells of its claim and waits for what it is to
// return. It ignores its context until the test ends.
func hold(t *testing.T) (w work, claims chan jobdb.Claim, next chan jobdb.Next) {
	claims, next = make(chan jobdb.Claim, 1000), make(chan jobdb.Next)
	ended := t.Context() // it ends before the cleanup
	return func(_ context.Context, c jobdb.Claim) jobdb.Next {
		claims <- c
		select {
		case n := <-next:
			return n
		case <-ended.Done():
			return jobdb.Done()
		}
	}, claims, next
}

// logged collects log lines.
type logged struct {
	mu    sync.Mutex
	lines []string
}

func (l *logged) Enabled(context.Context, slog.Level) bool { return true }
func (l *logged) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l *logged) WithGroup(string) slog.Handler            { return l }

func (l *logged) Handle(_ context.Context, r slog.Record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	l.lines = append(l.lines, line)
	return nil
}

func (l *logged) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines...)
}

// to has a queue log to l.
func to(l *logged) func(*jobdb.QueueConfig) {
	return func(c *jobdb.QueueConfig) { c.Logger = slog.New(l) }
}
