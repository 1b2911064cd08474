package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// theirs is a transaction of the caller.
type theirs struct {
	*sqldb.Tx

	commit   func() error
	rollback func()
}

// onEachTx runs a test for each kind of transaction that a caller may have. The
// transaction has inserted the row "theirs".
func onEachTx(t *testing.T, test func(t *testing.T, db *sqldb.DB, begin func(ctx context.Context) theirs)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "test.db")
		db := backend{planOf("test", steps), func() *sqldb.DB { return openSQLite(t, path) }}.migrated(t)
		test(t, db, beginSQL(t, db, openTheirs(t, path)))
	})
	t.Run("pgx", func(t *testing.T) {
		t.Parallel()
		url := sqldbtest.NewDatabase(t)
		pool := sqldbtest.OpenPool(t, url)
		db := migratedPool(t, func() *sqldb.DB { return onPool(t, pool) })
		test(t, db, beginPgx(t, db, url))
	})
	t.Run("PostgreSQL through database-sql", func(t *testing.T) {
		t.Parallel()
		url := sqldbtest.NewDatabase(t)
		pool := sqldbtest.OpenPool(t, url)
		db := migratedPool(t, func() *sqldb.DB { return onPool(t, pool) })
		own, err := sql.Open("pgx", url)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, own.Close()) })
		test(t, db, beginSQL(t, db, own))
	})
}

func migratedPool(t *testing.T, open func() *sqldb.DB) *sqldb.DB {
	t.Helper()
	plan := planOf("test", steps)
	plan.Schema = schema
	return backend{plan, open}.migrated(t)
}

func beginPgx(t *testing.T, db *sqldb.DB, url string) func(ctx context.Context) theirs {
	return func(ctx context.Context) theirs {
		conn, err := pgx.Connect(ctx, url)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) }) // may be closed
		tx, err := conn.Begin(ctx)
		require.NoError(t, err)
		own, err := db.WrapPgx(tx)
		require.NoError(t, err)
		return inserted(t, theirs{own, func() error { return tx.Commit(context.Background()) }, func() { _ = tx.Rollback(context.Background()) }})
	}
}

func beginSQL(t *testing.T, db *sqldb.DB, own *sql.DB) func(ctx context.Context) theirs {
	return func(ctx context.Context) theirs {
		tx, err := own.BeginTx(ctx, nil)
		require.NoError(t, err)
		wrapped, err := db.WrapSQL(ctx, tx)
		require.NoError(t, err)
		return inserted(t, theirs{wrapped, tx.Commit, func() { _ = tx.Rollback() }})
	}
}

func inserted(t *testing.T, tx theirs) theirs {
	t.Helper()
	t.Cleanup(tx.rollback)
	require.NoError(t, insert(t.Context(), tx, "theirs"))
	return tx
}

func insert(ctx context.Context, q sqldb.Querier, name string) error {
	_, err := q.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES (?)", name)
	return err
}

func TestInSavepoint(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, db *sqldb.DB, begin func(ctx context.Context) theirs) {
		ctx, failed := t.Context(), errors.New("failed")
		tx := begin(ctx)
		require.NoError(t, tx.InSavepoint(ctx, func(ctx context.Context) error { return insert(ctx, tx, "kept") }))
		require.ErrorIs(t, tx.InSavepoint(ctx, func(ctx context.Context) error {
			return errors.Join(insert(ctx, tx, "undone"), failed)
		}), failed)
		require.Error(t, tx.InSavepoint(ctx, func(ctx context.Context) error {
			return errors.Join(insert(ctx, tx, "also undone"), insert(ctx, tx, "theirs"))
		}), "not unique")
		require.Panics(t, func() {
			_ = tx.InSavepoint(ctx, func(ctx context.Context) error {
				require.NoError(t, insert(ctx, tx, "lost in a panic"))
				panic("boom")
			})
		})
		require.NoError(t, tx.commit())
		assert.Equal(t, 2, count(t, db, "true"))
		assert.Equal(t, 2, count(t, db, "name IN ('theirs', 'kept')"))
		require.Error(t, tx.InSavepoint(ctx, func(context.Context) error { return nil }), "after its end")
	})
}

// The caller's context ends after everything was written and before the
// savepoint is released.
func TestInSavepoint_ContextEndsBeforeRelease(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, db *sqldb.DB, begin func(ctx context.Context) theirs) {
		tx := begin(t.Context())
		for _, f := range []func(ctx context.Context, cancel func()) error{
			func(ctx context.Context, cancel func()) error {
				defer cancel()
				return insert(ctx, tx, "ours")
			},
			func(ctx context.Context, cancel func()) error {
				cancel()
				return insert(ctx, tx, "ours")
			},
		} {
			ctx, cancel := context.WithCancel(t.Context())
			err := tx.InSavepoint(ctx, func(ctx context.Context) error { return f(ctx, cancel) })
			require.ErrorIs(t, err, context.Canceled)
			require.ErrorIs(t, tx.InSavepoint(ctx, func(context.Context) error { panic("called") }), context.Canceled)
		}
		require.NoError(t, insert(t.Context(), tx, "theirs too"))
		require.NoError(t, tx.commit())
		assert.Equal(t, 2, count(t, db, "true"))
		assert.Equal(t, 2, count(t, db, "name LIKE 'theirs%'"))
	})
}

// ending are the two ways in which a context ends.
var ending = map[string]func(ctx context.Context) (context.Context, context.CancelFunc){
	"deadline": func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 50*time.Millisecond)
	},
	"cancel": func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		return ctx, cancel
	},
}

// A statement is slow when the context ends. On SQLite, interrupting it would
// end the transaction.
func TestInSavepoint_ContextEndsDuringStatement(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, db *sqldb.DB, begin func(ctx context.Context) theirs) {
		for name, shorten := range ending {
			tx := begin(t.Context())
			ctx, cancel := shorten(t.Context())
			err := tx.InSavepoint(ctx, func(inner context.Context) error {
				var err error
				for n := 0; ctx.Err() == nil && err == nil; n++ {
					_, err = tx.Exec(inner, `INSERT INTO {schema}thing (name) WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)
						SELECT CAST(? AS text) || i FROM n`, strconv.Itoa(n)+" ")
				}
				return err
			})
			require.ErrorIs(t, err, ctx.Err(), name)
			cancel()
			require.NoError(t, insert(t.Context(), tx, "theirs too"), name)
			require.NoError(t, tx.commit(), name)
			assert.Equal(t, 2, count(t, db, "true"), name)
			_, err = db.Exec(t.Context(), "DELETE FROM {schema}thing")
			require.NoError(t, err)
		}
	})
}

// A statement waits for a lock of another transaction when the context ends. On
// SQLite a transaction that has written waits for no lock.
func TestInSavepoint_ContextEndsDuringWaitForLock(t *testing.T) {
	t.Parallel()
	onEachTx(t, func(t *testing.T, db *sqldb.DB, begin func(ctx context.Context) theirs) {
		if db.Dialect() == sqldb.Postgres {
			endWhileWaiting(t, db, begin)
		}
	})
}

// A pooler passes on the request to cancel, and the server process has another
// ID than the connection says.
func TestInSavepoint_ThroughPooler(t *testing.T) {
	t.Parallel()
	url, _ := sqldbtest.NewPooler(t)
	url = sqldbtest.ExecMode(t, url)
	pool := sqldbtest.OpenPool(t, url)
	db := migratedPool(t, func() *sqldb.DB { return onPool(t, pool) })
	own, err := sql.Open("pgx", url)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	endWhileWaiting(t, db, beginPgx(t, db, url))
	endWhileWaiting(t, db, beginSQL(t, db, own))
}

func endWhileWaiting(t *testing.T, db *sqldb.DB, begin func(ctx context.Context) theirs) {
	t.Helper()
	for name, shorten := range ending {
		tx := begin(t.Context())
		lock := make(chan struct{})
		held := make(chan error, 1)
		go func() {
			held <- db.InTx(context.Background(), func(ctx context.Context, other *sqldb.Tx) error {
				err := insert(ctx, other, "locked")
				lock <- struct{}{}
				<-lock
				return errors.Join(err, errors.New("rolled back"))
			})
		}()
		<-lock
		ctx, cancel := shorten(t.Context())
		err := tx.InSavepoint(ctx, func(ctx context.Context) error {
			return errors.Join(insert(ctx, tx, "ours"), insert(ctx, tx, "locked"))
		})
		require.ErrorIs(t, err, ctx.Err(), name)
		cancel()
		close(lock)
		require.ErrorContains(t, <-held, "rolled back")
		require.NoError(t, insert(t.Context(), tx, "theirs too"), name)
		require.NoError(t, tx.commit(), name)
		assert.Equal(t, 2, count(t, db, "true"), name)
		_, err = db.Exec(t.Context(), "DELETE FROM {schema}thing")
		require.NoError(t, err)
	}
}

// The role of the pool must not cancel statements of the caller's role. The
// connection is closed then, and the caller can't commit.
func TestInSavepoint_StatementCannotBeCanceled(t *testing.T) {
	t.Parallel()
	r := sqldbtest.NewRestricted(t)
	owner := sqldbtest.OpenPool(t, r.Owner)
	admin := migratedPool(t, func() *sqldb.DB { return onPool(t, owner) })
	own, err := sql.Open("pgx", r.Owner)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	service := onPool(t, sqldbtest.OpenPool(t, r.Service))
	tx := beginSQL(t, service, own)(t.Context())

	other, err := owner.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), admin.Text("INSERT INTO {schema}thing (name) VALUES ('locked')"))
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waits := make(chan error, 1)
	go func() {
		defer cancel()
		waits <- waitsFor(ctx, owner, other.Conn().PgConn().PID())
	}()
	require.ErrorIs(t, tx.InSavepoint(ctx, func(ctx context.Context) error { return insert(ctx, tx, "locked") }), context.Canceled)
	require.NoError(t, <-waits)
	require.NoError(t, other.Rollback(t.Context()))
	require.ErrorIs(t, tx.commit(), sql.ErrTxDone)
	assert.Zero(t, count(t, admin, "true"))
}

// waitsFor returns as soon as a statement waits for a lock of a connection.
func waitsFor(ctx context.Context, pool *pgxpool.Pool, pid uint32) error {
	for waiting := 0; waiting == 0; {
		err := pool.QueryRow(ctx, "SELECT count(*) FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid))", pid).Scan(&waiting)
		if err != nil {
			return err
		}
	}
	return nil
}

// After some errors SQLite ends a transaction on its own.
func TestInSavepoint_SQLiteEndsTheTransaction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := backend{planOf("test", steps), func() *sqldb.DB { return openSQLite(t, path) }}.migrated(t)
	tx, ctx := beginSQL(t, db, openTheirs(t, path))(t.Context()), t.Context()
	require.Error(t, tx.InSavepoint(ctx, func(ctx context.Context) error {
		_, err := tx.Exec(ctx, "INSERT OR ROLLBACK INTO {schema}thing (name) VALUES ('theirs')")
		return err
	}))
	require.ErrorIs(t, insert(ctx, tx, "alone"), sql.ErrTxDone, "database/sql knows that it has ended")
	require.ErrorIs(t, tx.commit(), sql.ErrTxDone)
	assert.Zero(t, count(t, db, "true"))
}

func openTheirs(t *testing.T, path string) *sql.DB {
	t.Helper()
	own, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, own.Close()) })
	return own
}
