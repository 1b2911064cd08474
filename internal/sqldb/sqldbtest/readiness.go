package sqldbtest

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	neturl "net/url"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// Readiness tests the method Ready of a store. Each function opens a store that
// closes at the end of the test, and returns that method.
type Readiness struct {
	SQLite   func(t *testing.T, path string) func(context.Context) error
	Postgres func(t *testing.T, url string) func(context.Context) error
}

// Run runs the tests on both databases.
func (r Readiness) Run(t *testing.T) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		r.onSQLite(t)
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		r.onPostgres(t)
	})
}

func (r Readiness) onSQLite(t *testing.T) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ready.db")
	ready := r.SQLite(t, path)
	require.NoError(t, ready(t.Context()))
	other, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	t.Cleanup(func() { _ = other.Close() })
	before := contents(t, other)
	for range 3 {
		require.NoError(t, ready(t.Context()))
	}
	require.Equal(t, before, contents(t, other), "Ready leaves nothing behind")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, ready(ctx), context.Canceled)
	if runtime.GOOS == "windows" {
		return // an open file can't be moved
	}
	require.NoError(t, os.Rename(path, path+".moved"))
	err = ready(t.Context())
	require.ErrorIs(t, err, sqldb.ErrFileGone)
	require.ErrorContains(t, err, "stop the process")
	require.NoError(t, os.Rename(path+".moved", path))
	require.NoError(t, ready(t.Context()))
	require.NoError(t, os.Rename(path, path+".moved"))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.ErrorIs(t, ready(t.Context()), sqldb.ErrFileGone, "another file of that name")
	require.NoError(t, os.Rename(path+".moved", path))
	require.ErrorIs(t, ready(t.Context()), sqldb.ErrFileGone, "a connection may be on the other file")
}

// contents returns the number of rows of each table.
func contents(t *testing.T, db *sql.DB) map[string]int {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), "SELECT name FROM sqlite_schema WHERE type = 'table'")
	require.NoError(t, err)
	defer rows.Close()
	var tables []string
	for rows.Next() {
		var name string
		require.NoError(t, rows.Scan(&name))
		tables = append(tables, name)
	}
	require.NoError(t, rows.Err())
	counts := map[string]int{}
	for _, name := range tables {
		var n int
		require.NoError(t, db.QueryRowContext(t.Context(), `SELECT count(*) FROM "`+name+`"`).Scan(&n))
		counts[name] = n
	}
	delete(counts, "sqlite_sequence")
	require.NotEmpty(t, counts)
	return counts
}

func (r Readiness) onPostgres(t *testing.T) {
	t.Helper()
	url := NewDatabase(t)
	ready := r.Postgres(t, url)
	require.NoError(t, ready(t.Context()))
	require.NoError(t, ready(t.Context()))
	parsed, err := neturl.Parse(url)
	require.NoError(t, err)
	name := parsed.Path[1:]
	// Settings of a database are for new connections.
	set := func(statement string) {
		server := servicetest.PostgresURL(t)
		onServer(t, server, "ALTER DATABASE "+name+" "+statement)
		onServer(t, server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
	}
	set("SET default_transaction_read_only = on")
	require.Eventually(t, func() bool { return sqldb.SQLState(ready(t.Context())) == "25006" }, patience, 10*time.Millisecond)
	require.ErrorContains(t, ready(t.Context()), "the database is read-only; connect to the primary")
	set("RESET default_transaction_read_only")
	require.Eventually(t, func() bool { return ready(t.Context()) == nil }, patience, 10*time.Millisecond)
}
