package sqldb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// statementMemory returns the memory that the statements of a database with one
// connection use.
func statementMemory(t *testing.T, db *sqldb.DB) (size int) {
	t.Helper()
	conn, err := db.SQL().Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.Raw(func(c any) error {
		size, _, err = c.(sqlite.DBStatus).Status(sqlite.DBStatusStmtUsed, false)
		return err
	}))
	return size
}

func openThings(t *testing.T) (db *sqldb.DB, path string) {
	path = filepath.Join(t.TempDir(), "test.db")
	db = openFile(t, path)
	for _, name := range []string{"a", "b", "c"} {
		addThing(t, db, name, nil)
	}
	return db, path
}

func TestStatements_AreKept(t *testing.T) {
	t.Parallel()
	db, _ := openThings(t)
	before := statementMemory(t, db)
	run := func(text string) {
		rows, err := db.Query(t.Context(), text, 1)
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.NoError(t, rows.Close())
	}
	for _, text := range []string{
		"SELECT name FROM thing WHERE id = ? OR name = 'a'",
		"\n\tselect name\nFROM thing WHERE id = ? OR name = 'b'\n",
		"WITH one (id) AS (VALUES (?)) SELECT name FROM thing JOIN one USING (id)",
		"UPDATE thing SET note = 'x' WHERE id = ? RETURNING id",
	} {
		run(text)
		after := statementMemory(t, db)
		assert.Greater(t, after, before, text)
		for range 10 {
			run(text)
		}
		assert.Equal(t, after, statementMemory(t, db), text)
		before = after
	}
	for _, text := range []string{"PRAGMA user_version", "SAVEPOINT a", "RELEASE a", "VACUUM"} {
		_, err := db.Exec(t.Context(), text)
		require.NoError(t, err)
		assert.Equal(t, before, statementMemory(t, db), text)
	}
	long := "SELECT name FROM thing WHERE id = ? AND name <> '" + strings.Repeat("x", 20_000) + "'"
	run(long)
	assert.Equal(t, before, statementMemory(t, db), "a long one")
}

func TestStatements_AreBoundedAndClosed(t *testing.T) {
	t.Parallel()
	db, path := openThings(t)
	run := func(from, to int) {
		for i := from; i < to; i++ {
			require.Equal(t, 3, count(t, db, fmt.Sprintf("id <> %d", 1000+i)))
		}
	}
	run(0, 128)
	full := statementMemory(t, db)
	run(128, 1000)
	assert.InDelta(t, full, statementMemory(t, db), float64(full)/10)
	run(1000-128, 1000)
	assert.InDelta(t, full, statementMemory(t, db), float64(full)/10)
	require.NoError(t, db.Close())
	// SQLite does not close a file that a statement may still use.
	require.NoFileExists(t, path+"-wal")
}

func TestStatements_OldestIsClosedFirst(t *testing.T) {
	t.Parallel()
	db, _ := openThings(t)
	others := 0
	runOthers := func(n int) {
		for range n {
			others++
			require.Equal(t, 3, count(t, db, fmt.Sprintf("id <> %d", 1000+others)))
		}
	}
	runLarge := func() { require.Equal(t, 3, count(t, db, "true"+strings.Repeat(" AND id + 1 < 100", 500))) }
	runOthers(200)
	small := statementMemory(t, db)
	runLarge()
	large := statementMemory(t, db)
	require.Greater(t, large, small*5/4)
	kept := func() bool { return statementMemory(t, db) > (small+large)/2 }
	for range 5 {
		runOthers(100)
		assert.True(t, kept())
		runLarge()
	}
	runOthers(127)
	assert.True(t, kept())
	runOthers(1)
	assert.False(t, kept())
}

func TestStatements_SameTextTwiceAtOnce(t *testing.T) {
	t.Parallel()
	db, path := openThings(t)
	const text = "SELECT name FROM thing WHERE name >= ? ORDER BY name"
	names := func(tx sqldb.Querier, from string) []string {
		all, err := sqldb.Collect(t.Context(), tx, func(r sqldb.Row) (name string, err error) {
			return name, r.Scan(&name)
		}, text, from)
		require.NoError(t, err)
		return all
	}
	assert.Equal(t, []string{"c"}, names(db, "c"))
	one := statementMemory(t, db)
	for range 3 {
		require.NoError(t, db.InTx(t.Context(), func(ctx context.Context, tx *sqldb.Tx) error {
			rows, err := tx.Query(ctx, text, "a")
			require.NoError(t, err)
			for _, want := range []string{"a", "b", "c"} {
				var name string
				require.True(t, rows.Next())
				require.NoError(t, rows.Scan(&name))
				assert.Equal(t, want, name)
				assert.Equal(t, []string{"b", "c"}, names(tx, "b"))
			}
			require.False(t, rows.Next())
			return rows.Close()
		}))
	}
	assert.Equal(t, one, statementMemory(t, db))
	require.NoError(t, db.Close())
	require.NoFileExists(t, path+"-wal", "no statement was forgotten")
}

func TestStatements_HoldNoSnapshot(t *testing.T) {
	t.Parallel()
	db, _ := openThings(t)
	for i := range 3 {
		for _, q := range []sqldb.Querier{db.Reader(), db} {
			var name string
			require.NoError(t, q.QueryRow(t.Context(), "SELECT name FROM thing ORDER BY name").Scan(&name), "the other rows stay unread")
			require.ErrorIs(t, q.QueryRow(t.Context(), "SELECT name FROM thing WHERE id = 0").Scan(&name), sqldb.ErrNoRows)
		}
		addThing(t, db, fmt.Sprint(i), nil)
		var busy, frames, copied int
		require.NoError(t, db.QueryRow(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &copied))
		assert.Zero(t, busy)
	}
	_, err := db.Exec(t.Context(), "VACUUM") // which needs that no statement runs
	require.NoError(t, err)
}

func TestStatements_FollowTheSchema(t *testing.T) {
	t.Parallel()
	db, path := openThings(t)
	const text = "SELECT * FROM thing WHERE name = 'a'"
	width := func(q sqldb.Querier) int {
		rows, err := q.Query(t.Context(), text)
		require.NoError(t, err)
		defer rows.Close()
		names, err := rows.(*sql.Rows).Columns()
		require.NoError(t, err)
		require.True(t, rows.Next())
		values := make([]any, len(names))
		for i := range values {
			values[i] = new(any)
		}
		require.NoError(t, rows.Scan(values...))
		return len(names)
	}
	before := width(db)
	assert.Equal(t, before, width(db.Reader()))
	other := openSQLite(t, path)
	for i, writer := range []*sqldb.DB{other, db} {
		_, err := writer.Exec(t.Context(), fmt.Sprintf("ALTER TABLE thing ADD COLUMN more%d text", i))
		require.NoError(t, err)
		assert.Equal(t, before+i+1, width(db))
		assert.Equal(t, before+i+1, width(db.Reader()))
	}
	for _, writer := range []*sqldb.DB{other, db} {
		_, err := writer.Exec(t.Context(), "DROP TABLE thing")
		require.NoError(t, err)
		for _, q := range []sqldb.Querier{db, db.Reader()} {
			_, err = q.Query(t.Context(), text)
			require.ErrorContains(t, err, "no such table")
		}
		_, err = writer.Exec(t.Context(), "CREATE TABLE thing (name text); INSERT INTO thing VALUES ('a')")
		require.NoError(t, err)
		assert.Equal(t, 1, width(db))
		assert.Equal(t, 1, width(db.Reader()))
	}
}

func TestStatements_WorkAfterErrors(t *testing.T) {
	t.Parallel()
	db, _ := openThings(t)
	const insert, query = "INSERT INTO thing (name, note) VALUES (?, ?)", "SELECT json(value) FROM json_each(?)"
	before := statementMemory(t, db)
	for i := range 3 {
		_, err := db.Exec(t.Context(), insert, "a", "")
		require.ErrorContains(t, err, "UNIQUE")
		_, err = db.Exec(t.Context(), insert, "d")
		require.ErrorContains(t, err, "missing argument")
		rows, err := db.Query(t.Context(), query, `["1", "x"]`)
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.False(t, rows.Next(), "the second row fails")
		require.ErrorContains(t, rows.Err(), "malformed JSON")
		require.NoError(t, rows.Close())
		assert.Equal(t, before, statementMemory(t, db), "a statement that failed is not kept")

		n, err := db.Exec(t.Context(), insert, fmt.Sprint(i), "")
		require.NoError(t, err)
		assert.EqualValues(t, 1, n)
		var value string
		require.NoError(t, db.QueryRow(t.Context(), query, `["7"]`).Scan(&value))
		assert.Equal(t, "7", value)
		assert.Greater(t, statementMemory(t, db), before)
	}
}

func TestStatements_EndWithTheirContext(t *testing.T) {
	t.Parallel()
	db, _ := openThings(t)
	const text = "WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT count(*) FROM n"
	for _, q := range []sqldb.Querier{db, db.Reader()} {
		for range 3 {
			var n int64
			require.NoError(t, q.QueryRow(t.Context(), text, 10).Scan(&n))
			assert.EqualValues(t, 10, n)
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
			err := q.QueryRow(ctx, text, int64(1)<<60).Scan(&n)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			_, err = q.Exec(ctx, text, 10)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			cancel()
		}
	}
}

func TestStatements_ScriptsAndComments(t *testing.T) {
	t.Parallel()
	db, _ := openThings(t)
	for i := range 3 {
		for _, script := range []string{
			"INSERT INTO thing (name) VALUES ('x'); INSERT INTO thing (name) VALUES ('y');",
			"-- a comment\nUPDATE thing SET note = name WHERE name IN ('x', 'y'); -- another",
			"SELECT 1; DELETE FROM thing WHERE note = 'x'",
			"/* a comment */ BEGIN; DELETE FROM thing WHERE note = 'y'; COMMIT",
			"DELETE FROM thing WHERE name = 'z' -- a comment",
			"-- a comment",
		} {
			_, err := db.SQL().ExecContext(t.Context(), script)
			require.NoError(t, err, script)
		}
		require.Equal(t, 3, count(t, db, "true"), i)
	}
	_, err := db.Exec(t.Context(), "ATTACH ? AS other", ":memory:")
	require.NoError(t, err)
	for range 2 {
		_, err = db.Exec(t.Context(), "CREATE TABLE other.thing (name text); INSERT INTO other.thing VALUES ('a'); SELECT * FROM other.thing; DROP TABLE other.thing")
		require.NoError(t, err)
	}
	_, err = db.Exec(t.Context(), "DETACH other")
	require.NoError(t, err)
}

// A wrapper hides what it does not have.
func TestStatements_ConnectionsHaveAllOfTheDriver(t *testing.T) {
	t.Parallel()
	_, path := openThings(t)
	db := openSQLite(t, path).SQL()
	plain, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer plain.Close()
	raw := func(db *sql.DB) (raw any) {
		conn, err := db.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		require.NoError(t, conn.Raw(func(c any) error {
			raw = c
			return nil
		}))
		return raw
	}
	assert.Equal(t, optional(raw(plain)), optional(raw(db)))
	assert.IsType(t, raw(plain), raw(db).(interface{ Unwrap() driver.Conn }).Unwrap())
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	_, err = sqlite.Limit(conn, sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, -1)
	require.NoError(t, err)
}

// optional returns the interfaces that a connection has beyond driver.Conn.
func optional(conn any) (has []string) {
	note := func(name string, ok bool) {
		if ok {
			has = append(has, name)
		}
	}
	note("BeginTx", is[driver.ConnBeginTx](conn))
	note("PrepareContext", is[driver.ConnPrepareContext](conn))
	note("ExecContext", is[driver.ExecerContext](conn))
	note("QueryContext", is[driver.QueryerContext](conn))
	note("Ping", is[driver.Pinger](conn))
	note("ResetSession", is[driver.SessionResetter](conn))
	note("IsValid", is[driver.Validator](conn))
	note("CheckNamedValue", is[driver.NamedValueChecker](conn))
	note("Status", is[sqlite.DBStatus](conn))
	note("FileControl", is[sqlite.FileControl](conn))
	note("hooks", is[sqlite.HookRegisterer](conn))
	return has
}

func is[T any](conn any) bool {
	_, ok := conn.(T)
	return ok
}

func BenchmarkStatement(b *testing.B) {
	for name, open := range map[string]func(path string) (*sql.DB, error){
		"kept": func(path string) (*sql.DB, error) { return sqldb.OpenSQLite(b.Context(), path, 1, sqldb.BusyTimeout) },
		"prepared each time": func(path string) (*sql.DB, error) {
			return sql.Open("sqlite", "file:"+path+"?_pragma=journal_mode(WAL)")
		},
	} {
		db, err := open(filepath.Join(b.TempDir(), "test.db"))
		require.NoError(b, err)
		defer db.Close()
		_, err = db.ExecContext(b.Context(), `CREATE TABLE thing (id integer PRIMARY KEY, name text UNIQUE, body blob, at bigint);
			CREATE INDEX thing_at ON thing (at); INSERT INTO thing (id, name, at) VALUES (5, 'a', 1), (6, 'b', 2)`)
		require.NoError(b, err)
		tx, err := db.BeginTx(b.Context(), nil)
		require.NoError(b, err)
		defer tx.Rollback()
		b.Run("exec/"+name, func(b *testing.B) {
			for i := range b.N {
				_, err := tx.ExecContext(b.Context(), `INSERT INTO thing (id, name, body, at) VALUES (?, ?, ?, ?)
					ON CONFLICT (id) DO UPDATE SET at = excluded.at`, 5, "a", []byte("body"), i)
				require.NoError(b, err)
			}
		})
		b.Run("query/"+name, func(b *testing.B) {
			for i := range b.N {
				var name string
				require.NoError(b, tx.QueryRowContext(b.Context(), `SELECT t.name FROM thing t LEFT JOIN thing o ON o.id = t.at
					WHERE t.id = ? ORDER BY t.at DESC, t.id LIMIT 10`, 5+i%2).Scan(&name))
			}
		})
	}
}
