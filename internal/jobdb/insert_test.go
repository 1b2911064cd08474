package jobdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "github.com/lib/pq"              // driver "postgres"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

var errFailed = errors.New("failed")

// many are more jobs than one statement inserts, with awkward refs.
func many() (all []jobdb.NewJob) {
	for i := range 250 {
		all = append(all, jobdb.NewJob{Ref: fmt.Sprintf(`%d '"?{now}\\é`, (i*37)%250), Wait: time.Duration(i%3) * time.Hour})
	}
	return all
}

// requireInserted requires that the table has exactly these jobs, and that ids
// are in their order.
func requireInserted(t *testing.T, db *jobdb.DB, all []jobdb.NewJob, ids []int64, begun int64) {
	t.Helper()
	require.Len(t, ids, len(all))
	stored, end := map[int64]job{}, now(t, db)
	for _, j := range jobs(t, db) {
		stored[j.ID] = j
	}
	require.Len(t, stored, len(all))
	for i, id := range ids {
		j := stored[id]
		assert.Equal(t, all[i].Ref, j.Ref)
		assert.Zero(t, j.ClaimedUntil+j.Failures)
		wait := max(all[i].Wait, 0).Microseconds()
		assert.GreaterOrEqual(t, j.RunAt, begun+wait)
		assert.LessOrEqual(t, j.RunAt, end+wait)
	}
}

func TestInsert(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db := migrated(t, open)
		q, begun := newQueue(db), now(t, db)
		require.ErrorIs(t, db.InTx(t.Context(), func(ctx context.Context, tx *jobdb.Tx) error {
			ids, err := q.Insert(ctx, tx, []jobdb.NewJob{{Ref: "never"}})
			require.NoError(t, err)
			require.Len(t, ids, 1)
			return errFailed
		}), errFailed)
		require.Empty(t, jobs(t, db))
		assert.Empty(t, insert(t, db, q))

		all := many()
		all[0].Wait = -time.Hour
		requireInserted(t, db, all, insert(t, db, q, all...), begun)
	})
}

func TestInsert_TransactionOfTheCaller(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		db := migrated(t, func() *jobdb.DB { return openSQLite(t, t.TempDir()+"/test.db") })
		inCallersTx(t, db, func(f func(*jobdb.Tx) error) error { return inStandard(t, db, db.SQL(), f) })
	})
	for _, driver := range []string{"pgx", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			url := sqldbtest.NewDatabase(t)
			pool := sqldbtest.OpenPool(t, url)
			db := migrated(t, func() *jobdb.DB { return onPool(t, pool) })
			standard, err := sql.Open(driver, url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, standard.Close()) })
			inCallersTx(t, db, func(f func(*jobdb.Tx) error) error { return inStandard(t, db, standard, f) })
		})
	}
	t.Run("pgx.Tx", func(t *testing.T) {
		t.Parallel()
		pool := sqldbtest.NewPool(t)
		db := migrated(t, func() *jobdb.DB { return onPool(t, pool) })
		inCallersTx(t, db, func(f func(*jobdb.Tx) error) error { return inPgx(t, db, pool, f) })
	})
}

func inStandard(t *testing.T, db *jobdb.DB, standard *sql.DB, f func(tx *jobdb.Tx) error) error {
	t.Helper()
	tx, err := standard.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	own, err := db.WrapSQL(t.Context(), tx)
	require.NoError(t, err)
	if err := f(own); err != nil {
		require.NoError(t, tx.Rollback())
		return err
	}
	return tx.Commit()
}

func inPgx(t *testing.T, db *jobdb.DB, pool *pgxpool.Pool, f func(tx *jobdb.Tx) error) error {
	t.Helper()
	tx, err := pool.Begin(t.Context())
	require.NoError(t, err)
	own, err := db.WrapPgx(tx)
	require.NoError(t, err)
	if err := f(own); err != nil {
		require.NoError(t, tx.Rollback(t.Context()))
		return err
	}
	return tx.Commit(t.Context())
}

// inCallersTx inserts in transactions of in, which commits if its function
// returns nil. A queue that never polls hears of the jobs. On SQLite it is
// kicked.
func inCallersTx(t *testing.T, db *jobdb.DB, in func(func(*jobdb.Tx) error) error) {
	q, ctx := newQueue(db), t.Context()
	require.ErrorIs(t, in(func(tx *jobdb.Tx) error {
		_, err := q.Insert(ctx, tx, []jobdb.NewJob{{Ref: "never"}})
		require.NoError(t, err)
		return errFailed
	}), errFailed)

	all, begun := many(), now(t, db)
	var ids []int64
	require.NoError(t, in(func(tx *jobdb.Tx) (err error) {
		ids, err = q.Insert(ctx, tx, all)
		return err
	}))
	requireInserted(t, db, all, ids, begun)

	require.NoError(t, in(func(tx *jobdb.Tx) error { return q.FinishTx(ctx, tx, ids[1:]) }))
	require.Equal(t, []string{all[0].Ref}, refs(t, db))

	listening := newQueue(db)
	listening.NeverPoll()
	start(t, listening, func(context.Context, jobdb.Claim) jobdb.Next { return jobdb.Done() })
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
	require.NoError(t, in(func(tx *jobdb.Tx) error {
		_, err := newQueue(db).Insert(ctx, tx, []jobdb.NewJob{{Ref: "last"}})
		return err
	}))
	if db.Dialect() == jobdb.SQLite {
		listening.Kick()
	}
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
}

// The longest name of a schema and that of a table fit into the name of a
// channel.
func TestInsert_NotifiesWithTheLongestSchema(t *testing.T) {
	t.Parallel()
	pool := sqldbtest.NewPool(t)
	db, err := jobdb.NewPostgres(pool, strings.Repeat("s", 40))
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context(), "test", steps))
	q := newQueue(db)
	q.NeverPoll()
	start(t, q, func(context.Context, jobdb.Claim) jobdb.Next { return jobdb.Done() })
	awaitListener(t, db)
	require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *jobdb.Tx) error {
		_, err := newQueue(db).Insert(ctx, tx, []jobdb.NewJob{{Ref: "one"}})
		return err
	}))
	require.Eventually(t, func() bool { return len(jobs(t, db)) == 0 }, patience, tick)
}
