package sqldb_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestStatementsForBoth(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		db, ctx := b.migrated(t), t.Context()
		body := []byte("{\"a\":1e2,\x00\xff")
		var id int64
		err := db.QueryRow(ctx, `INSERT INTO {schema}thing (name, body, at, note) VALUES (?, ?, ?, '?{schema}"?') RETURNING id`,
			"one", body, int64(7)).Scan(&id)
		require.NoError(t, err)
		assert.EqualValues(t, 1, id)

		var name, note string
		var got []byte
		var at *int64
		err = db.QueryRow(ctx, `SELECT name, "body", at, note FROM {schema}thing WHERE id = ? AND name <> '?' AND at = ?`, id, int64(7)).
			Scan(&name, &got, &at, &note)
		require.NoError(t, err)
		assert.Equal(t, "one", name)
		assert.Equal(t, body, got)
		assert.EqualValues(t, 7, *at)
		assert.Equal(t, `?{schema}"?`, note)

		affected, err := db.Exec(ctx, "UPDATE {schema}thing SET at = NULL WHERE id = ?", id)
		require.NoError(t, err)
		assert.EqualValues(t, 1, affected)
		require.NoError(t, db.QueryRow(ctx, "SELECT at FROM {schema}thing WHERE id = ?", id).Scan(&at))
		assert.Nil(t, at)

		err = db.QueryRow(ctx, "SELECT at FROM {schema}thing WHERE id = ?", 99).Scan(&at)
		require.ErrorIs(t, err, sqldb.ErrNoRows)
		require.ErrorIs(t, err, sql.ErrNoRows)

		_, err = db.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES (?)", "one")
		assert.True(t, sqldb.IsRejected(err), err)
		_, err = db.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES (NULL)")
		require.Error(t, err)
		assert.False(t, sqldb.IsFull(err))
		assert.True(t, sqldb.IsRejected(err))
		_, err = db.Exec(ctx, "SELECT FROM WHERE")
		require.Error(t, err)
		assert.False(t, sqldb.IsRejected(err), err)
		assert.False(t, sqldb.IsBusy(err), err)
	})
}

func TestCollect(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		db, ctx := b.migrated(t), t.Context()
		for _, name := range []string{"a", "b", "c"} {
			_, err := db.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES (?)", name)
			require.NoError(t, err)
		}
		scan := func(r sqldb.Row) (name string, err error) { return name, r.Scan(&name) }
		names, err := sqldb.Collect(ctx, db, scan, "SELECT name FROM {schema}thing WHERE name > ? ORDER BY name", "a")
		require.NoError(t, err)
		assert.Equal(t, []string{"b", "c"}, names)

		for want, ids := range map[int][]int64{0: {}, 1: {2, 99}, 3: {3, 1, 2}} {
			where, arg := db.IsAnyOf("id", ids)
			assert.Equal(t, want, count(t, db, where, arg))
		}

		_, err = sqldb.Collect(ctx, db, scan, "SELECT nothing FROM {schema}thing")
		require.Error(t, err)
		failed := errors.New("failed")
		_, err = sqldb.Collect(ctx, db, func(sqldb.Row) (int, error) { return 0, failed }, "SELECT name FROM {schema}thing")
		require.ErrorIs(t, err, failed)
		assert.Equal(t, 3, count(t, db, "true"), "the connection is free again")
	})
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, b backend) {
		db, ctx := b.migrated(t), t.Context()
		insert := func(tx *sqldb.Tx, name string) {
			_, err := tx.Exec(ctx, "INSERT INTO {schema}thing (name) VALUES (?)", name)
			require.NoError(t, err)
		}
		require.NoError(t, db.InTx(ctx, func(_ context.Context, tx *sqldb.Tx) error {
			insert(tx, "committed")
			assert.Equal(t, 1, count(t, tx, "true"))
			return nil
		}))
		failed := errors.New("failed")
		require.ErrorIs(t, db.InTx(ctx, func(_ context.Context, tx *sqldb.Tx) error {
			insert(tx, "failed")
			return failed
		}), failed)
		assert.PanicsWithValue(t, "oh", func() {
			_ = db.InTx(ctx, func(_ context.Context, tx *sqldb.Tx) error {
				insert(tx, "panicked")
				panic("oh")
			})
		})
		ending, end := context.WithCancel(ctx)
		require.Error(t, db.InTx(ending, func(_ context.Context, tx *sqldb.Tx) error {
			insert(tx, "cancelled")
			end()
			return nil
		}))
		assert.Equal(t, 1, count(t, db, "true"))
		assert.Equal(t, 1, count(t, db, "name = ?", "committed"))
	})
}

// The one connection of a file that the caller opened is free again after each
// transaction, whatever its end.
func TestTransactions_GiveTheirConnectionBack(t *testing.T) {
	t.Parallel()
	file, err := sqldb.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "a.db"), 1, sqldb.BusyTimeout)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, file.Close()) })
	db := sqldb.New(file, sqldb.SQLite, "")
	_, err = db.Exec(t.Context(), "CREATE TABLE thing (id INTEGER)")
	require.NoError(t, err)
	failure := errors.New("failed")
	for _, end := range []error{nil, failure, nil, failure} {
		err := db.InTx(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			_, err := tx.Exec(ctx, "INSERT INTO thing VALUES (1)")
			return errors.Join(err, end)
		})
		require.ErrorIs(t, err, end)
		require.Zero(t, file.Stats().InUse)
	}
	var n int
	require.NoError(t, db.QueryRow(t.Context(), "SELECT count(*) FROM thing").Scan(&n))
	require.Equal(t, 2, n, "what failed was rolled back")
}

func TestWrap_SQLite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := backend{planOf("test", steps), func() *sqldb.DB { return openSQLite(t, path) }}.migrated(t)
	own, ctx := openTheirs(t, path), t.Context()
	tx, err := own.BeginTx(ctx, nil)
	require.NoError(t, err)
	wrapped, err := db.WrapSQL(ctx, tx)
	require.NoError(t, err)
	require.NoError(t, insert(ctx, wrapped, "theirs"))
	require.NoError(t, tx.Commit())
	assert.Equal(t, 1, count(t, db, "true"))

	_, err = db.WrapSQL(ctx, tx)
	require.ErrorIs(t, err, sql.ErrTxDone)
	_, err = db.WrapSQL(ctx, nil)
	require.ErrorIs(t, err, sqldb.ErrTx)
	_, err = db.WrapPgx(struct{ pgx.Tx }{})
	require.ErrorIs(t, err, sqldb.ErrTx)
	assert.ErrorContains(t, err, "*sql.Tx")
}

// SQLite ends a transaction on its own after some errors. Each statement that
// follows would commit separately.
func TestWrapSQL_SQLiteHasEndedTheTransaction(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.db")
	db := backend{planOf("test", steps), func() *sqldb.DB { return openSQLite(t, path) }}.migrated(t)
	tx, err := openTheirs(t, path).BeginTx(t.Context(), nil)
	require.NoError(t, err)
	for range 2 {
		_, err = tx.ExecContext(t.Context(), "INSERT OR ROLLBACK INTO thing (name) VALUES ('theirs')")
	}
	require.Error(t, err)
	_, err = db.WrapSQL(t.Context(), tx)
	require.ErrorIs(t, err, sql.ErrTxDone)
	require.Error(t, tx.Commit())
	assert.Zero(t, count(t, db, "true"))
}

func TestWrap_PostgresTakesBothLibraries(t *testing.T) {
	t.Parallel()
	pool, ctx := sqldbtest.NewPool(t), t.Context()
	db := migratedPool(t, func() *sqldb.DB { return onPool(t, pool) })
	native, err := pool.Begin(ctx)
	require.NoError(t, err)
	wrapped, err := db.WrapPgx(native)
	require.NoError(t, err)
	require.NoError(t, insert(ctx, wrapped, "pgx's"))
	require.NoError(t, native.Commit(ctx))
	own := stdlib.OpenDBFromPool(pool)
	defer own.Close()
	tx, err := own.BeginTx(ctx, nil)
	require.NoError(t, err)
	wrapped, err = db.WrapSQL(ctx, tx)
	require.NoError(t, err)
	require.NoError(t, insert(ctx, wrapped, "database/sql's"))
	require.NoError(t, tx.Commit())
	assert.Equal(t, 2, count(t, db, "true"))

	_, err = db.WrapPgx(nil)
	require.ErrorIs(t, err, sqldb.ErrTx)
	_, err = db.WrapSQL(ctx, nil)
	require.ErrorIs(t, err, sqldb.ErrTx)
}

func TestTimes(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 23, 1, 2, 3, 456789, time.FixedZone("", 3600))
	assert.True(t, sqldb.Time(sqldb.Micros(at)).Equal(at.Truncate(time.Microsecond)))
	assert.Zero(t, sqldb.Micros(time.Time{}))
	assert.True(t, sqldb.Time(0).IsZero())
	onEach(t, func(t *testing.T, b backend) {
		now, err := b.open().Now(t.Context())
		require.NoError(t, err)
		assert.WithinDuration(t, time.Now(), now, time.Minute)
		var micros int64
		var text string
		require.NoError(t, b.open().QueryRow(t.Context(), "SELECT {now}, '{now}'").Scan(&micros, &text))
		assert.WithinDuration(t, time.Now(), sqldb.Time(micros), time.Minute)
		assert.Equal(t, "{now}", text)
	})
}

func TestOpenSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{"", ":memory:", "file:" + dir + "/a.db", filepath.Join(dir, "no", "dir.db")} {
		_, err := sqldb.OpenSQLite(t.Context(), path, 1, sqldb.BusyTimeout)
		require.ErrorIs(t, err, sqldb.ErrConfig, path)
	}
	path := filepath.Join(dir, "a.db")
	db := backend{planOf("test", steps), func() *sqldb.DB { return openSQLite(t, path) }}.migrated(t)
	for _, file := range []string{path, path + "-wal", path + "-shm"} {
		info, err := os.Stat(file)
		require.NoError(t, err)
		assert.Equal(t, os.FileMode(0o600), info.Mode().Perm(), file)
	}
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "busy_timeout": "10000", "foreign_keys": "1"} {
		var got string
		require.NoError(t, db.QueryRow(t.Context(), "PRAGMA "+pragma).Scan(&got))
		assert.Equal(t, want, got, pragma)
	}
	blocked := filepath.Join(dir, "text.db")
	require.NoError(t, os.WriteFile(blocked, []byte("this is no database, but long enough to look like one, if you squint at it from afar, I suppose"), 0o600))
	_, err := sqldb.OpenSQLite(t.Context(), blocked, 1, sqldb.BusyTimeout)
	require.Error(t, err)
}
