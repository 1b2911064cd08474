package sqldedupe_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
)

// guarded is a SQLite database with a function began, by which a statement
// reports that it runs.
type guarded struct {
	*backend
	began func()
}

func openGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{}
	d := &sqlite.Driver{}
	require.NoError(t, d.RegisterScalarFunction("began", 0, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		g.began()
		return int64(1), nil
	}))
	open := func() *sql.DB {
		db := sql.OpenDB(connector{d, sqliteDSN(filepath.Join(t.TempDir(), "test.db"), "FULL")})
		db.SetMaxOpenConns(1)
		closeAfter(t, db)
		return db
	}
	g.backend = &backend{t: t, dialect: sqldedupe.SQLite, db: open(), open: open}
	return g
}

// endings lists actions after which SQLite ends a transaction on its own.
var endings = map[string]func(ctx context.Context, g *guarded, tx *sql.Tx){
	"conflict clause": func(ctx context.Context, g *guarded, tx *sql.Tx) {
		_, err := tx.ExecContext(ctx, "INSERT INTO seen VALUES ('x')")
		require.Error(g.t, err)
	},
	"trigger": func(ctx context.Context, g *guarded, tx *sql.Tx) {
		_, err := tx.ExecContext(ctx, "INSERT INTO numbers VALUES (-1)")
		require.Error(g.t, err)
	},
	"interrupted write": func(ctx context.Context, g *guarded, tx *sql.Tx) {
		ctx, g.began = context.WithCancel(ctx)
		_, err := tx.ExecContext(ctx, "INSERT INTO numbers WITH RECURSIVE r(i) AS (SELECT began() UNION ALL SELECT i + 1 FROM r) SELECT i FROM r")
		require.ErrorIs(g.t, err, context.Canceled)
	},
}

func makeEnding(t *testing.T, db *sql.DB) {
	t.Helper()
	_, err := db.ExecContext(t.Context(), `CREATE TABLE effects (id TEXT NOT NULL); CREATE TABLE numbers (n INTEGER);
		CREATE TABLE seen (id TEXT UNIQUE ON CONFLICT ROLLBACK); INSERT INTO seen VALUES ('x');
		CREATE TRIGGER negative BEFORE INSERT ON numbers WHEN NEW.n < 0 BEGIN SELECT RAISE(ROLLBACK, 'negative'); END`)
	require.NoError(t, err)
}

// If a handler continues after an error that ended the transaction, SQLite
// commits each later statement separately. They must not be kept, because
// the completion is missing and the retry repeats the work.
func TestEndedSQLiteTransactionCommitsNothing(t *testing.T) {
	t.Parallel()
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openGuarded(t)
			makeEnding(t, b.db)
			s := b.store(b.db)
			// Each begins another transaction.
			for _, after := range []string{"", "SAVEPOINT a", "BEGIN"} {
				c := claim(t, s, key("1"), amply, dedupe.Claimed)
				err := s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
					end(ctx, b, tx)
					if after != "" {
						_, err := tx.ExecContext(ctx, after)
						require.NoError(t, err)
					}
					_ = b.effect("1")(ctx, tx)
					return nil
				})
				require.ErrorIs(t, err, sql.ErrTxDone, after)
				require.Zero(t, b.count("1"), after)
				claim(t, s, key("1"), amply, dedupe.InFlight)
				require.NoError(t, s.Release(t.Context(), c))
			}
			c := claim(t, s, key("1"), amply, dedupe.Claimed)
			require.NoError(t, s.InTx(t.Context(), c, b.effect("1")), "the connection is as good as before")
			require.Equal(t, 1, b.count("1"))
		})
	}
}

// The handler may return the error of the later statement.
func TestEndedSQLiteTransactionRefusesStatements(t *testing.T) {
	t.Parallel()
	b := openGuarded(t)
	makeEnding(t, b.db)
	s := b.store(b.db)
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	var refused error
	err := s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
		endings["trigger"](ctx, b, tx)
		refused = b.effect("1")(ctx, tx)
		return refused
	})
	require.Error(t, refused)
	require.Equal(t, refused, err)
	require.NoError(t, b.effect("2")(t.Context(), begin(t, b.db)))
}

// begin begins a transaction that is rolled back at the end of the test.
func begin(t *testing.T, db *sql.DB) *sql.Tx {
	t.Helper()
	tx, err := db.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback() })
	return tx
}

// The next user of the connection can commit, whatever the outcome of the
// transaction was.
func TestCommitsAreAllowedAfterInTx(t *testing.T) {
	t.Parallel()
	b := openSQLite(t)
	makeEnding(t, b.db)
	s := b.store(b.db)
	for name, fn := range map[string]func(ctx context.Context, tx *sql.Tx) error{
		"committed": func(context.Context, *sql.Tx) error { return nil },
		"failed":    func(context.Context, *sql.Tx) error { return sql.ErrNoRows },
		"panicked":  func(context.Context, *sql.Tx) error { panic("mine") },
		"rolled back": func(_ context.Context, tx *sql.Tx) error {
			return tx.Rollback()
		},
		"commit by hand": func(_ context.Context, tx *sql.Tx) error { return tx.Commit() },
	} {
		c := claim(t, s, key(name), amply, dedupe.Claimed)
		func() {
			defer func() { _ = recover() }()
			_ = s.InTx(t.Context(), c, fn)
		}()
		_, err := b.db.ExecContext(t.Context(), "INSERT INTO effects VALUES ('"+name+"')")
		require.NoError(t, err, name)
		require.Equal(t, 1, b.count(name), name)
	}
}

// A completion after SQLite has ended the transaction would be committed
// without the effect, and the event would be lost.
func TestCompleteTxNotesEndedSQLiteTransaction(t *testing.T) {
	t.Parallel()
	for name, end := range endings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openGuarded(t)
			makeEnding(t, b.db)
			s := b.store(b.db)
			c := claim(t, s, key("1"), amply, dedupe.Claimed)
			tx := begin(t, b.db)
			require.NoError(t, b.effect("1")(t.Context(), tx))
			end(t.Context(), b, tx)
			require.ErrorIs(t, s.CompleteTx(t.Context(), tx, c), sql.ErrTxDone)
			_ = tx.Rollback()
			claim(t, s, key("1"), amply, dedupe.InFlight)
			require.Zero(t, b.count("1"))
		})
	}
	t.Run("no transaction", func(t *testing.T) {
		t.Parallel()
		b := openSQLite(t)
		s := b.store(b.db)
		c := claim(t, s, key("1"), amply, dedupe.Claimed)
		conn, err := b.db.Conn(t.Context())
		require.NoError(t, err)
		require.ErrorIs(t, s.CompleteTx(t.Context(), conn, c), sql.ErrTxDone)
		require.NoError(t, conn.Close())
		claim(t, s, key("1"), amply, dedupe.InFlight)
	})
}

// plainConn is modernc's connection in a driver without hooks. tracedConn is a
// connection in a tracing wrapper.
type (
	plainConn  struct{ sqliteConn }
	tracedConn struct{ sqliteConn }
	sqliteConn interface {
		driver.Conn
		driver.ConnBeginTx
		driver.ExecerContext
		driver.QueryerContext
		driver.ConnPrepareContext
	}
)

func (c tracedConn) Raw() driver.Conn { return c.sqliteConn }

// mattnConn has the hook of github.com/mattn/go-sqlite3.
type mattnConn struct {
	sqliteConn
	set *atomic.Int32
}

func (c mattnConn) RegisterCommitHook(hook func() int) {
	hooks := c.sqliteConn.(sqlite.HookRegisterer)
	if hook == nil {
		hooks.RegisterCommitHook(nil)
		return
	}
	c.set.Add(1)
	hooks.RegisterCommitHook(func() int32 { return int32(hook()) })
}

type wrappingConnector struct {
	connector
	wrap func(sqliteConn) driver.Conn
}

func (c wrappingConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	return c.wrap(conn.(sqliteConn)), nil
}

// Drivers provide the hook in different ways. Without a hook InTx at least
// fails, and the event does not count as handled.
func TestOtherSQLiteDrivers(t *testing.T) {
	t.Parallel()
	var set atomic.Int32
	for name, test := range map[string]struct {
		wrap    func(sqliteConn) driver.Conn
		effects int
	}{
		"traced": {func(c sqliteConn) driver.Conn { return tracedConn{c} }, 0},
		"mattn":  {func(c sqliteConn) driver.Conn { return mattnConn{c, &set} }, 0},
		"plain":  {func(c sqliteConn) driver.Conn { return plainConn{c} }, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := sql.OpenDB(wrappingConnector{connector{&sqlite.Driver{}, sqliteDSN(filepath.Join(t.TempDir(), "test.db"), "FULL")}, test.wrap})
			db.SetMaxOpenConns(1)
			closeAfter(t, db)
			makeEnding(t, db)
			b := &guarded{backend: &backend{t: t, dialect: sqldedupe.SQLite, db: db}}
			s := b.store(db)
			c := claim(t, s, key("1"), amply, dedupe.Claimed)
			err := s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error {
				endings["trigger"](ctx, b, tx)
				_ = b.effect("1")(ctx, tx)
				return nil
			})
			require.ErrorIs(t, err, sql.ErrTxDone)
			require.Equal(t, test.effects, b.count("1"))
			claim(t, s, key("1"), amply, dedupe.InFlight)
			require.NoError(t, s.InTx(t.Context(), c, b.effect("2")))
			require.Equal(t, 1, b.count("2"))
		})
	}
	t.Cleanup(func() { require.Equal(t, int32(2), set.Load()) })
}
