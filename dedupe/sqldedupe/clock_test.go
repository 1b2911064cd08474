package sqldedupe_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// clocked is a backend whose clock can be moved, because another function
// replaces the one that the statements call for the time. The conformance suite
// then need not wait, and leases do not end early on a slow machine. Nothing is
// synced to the disk.
type clocked struct {
	*backend
	advance func(time.Duration)
}

// clockedSQLite uses a separate driver with a replaced function unixepoch.
func clockedSQLite(t testing.TB) clocked {
	t.Helper()
	var ahead atomic.Int64
	d := &sqlite.Driver{}
	require.NoError(t, d.RegisterScalarFunction("unixepoch", 1, func(*sqlite.FunctionContext, []driver.Value) (driver.Value, error) {
		return float64(time.Now().Add(time.Duration(ahead.Load())).UnixMilli()) / 1000, nil
	}))
	dsn := sqliteDSN(filepath.Join(t.TempDir(), "test.db"), "OFF")
	open := func() *sql.DB {
		db := sql.OpenDB(connector{d, dsn})
		db.SetMaxOpenConns(1)
		closeAfter(t, db)
		return db
	}
	b := &backend{t: t, dialect: sqldedupe.SQLite, db: open(), open: open}
	return clocked{b, func(d time.Duration) { ahead.Add(int64(d)) }}
}

type connector struct {
	driver *sqlite.Driver
	dsn    string
}

func (c connector) Connect(context.Context) (driver.Conn, error) { return c.driver.Open(c.dsn) }
func (c connector) Driver() driver.Driver                        { return c.driver }

// clockedPostgres uses a schema with a replaced clock_timestamp, which is first
// in the search path.
func clockedPostgres(t testing.TB, url string) clocked {
	t.Helper()
	schema := fmt.Sprintf("t%016x", rand.Uint64())
	admin := postgresDB(t, url)
	admin.SetMaxIdleConns(0)
	exec := func(statement string) {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_, err := admin.ExecContext(ctx, statement)
		require.NoError(t, err)
	}
	exec("CREATE SCHEMA " + schema)
	t.Cleanup(func() { exec("DROP SCHEMA " + schema + " CASCADE") })
	exec("CREATE TABLE " + schema + ".clock AS SELECT interval '0' AS ahead")
	exec("CREATE FUNCTION " + schema + ".clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT pg_catalog.clock_timestamp() + ahead FROM " + schema + ".clock'")
	open := func() *sql.DB {
		return postgresDB(t, url+"&synchronous_commit=off&search_path="+schema+"%2Cpg_catalog")
	}
	b := &backend{t: t, dialect: sqldedupe.Postgres, db: open(), open: open}
	return clocked{b, func(d time.Duration) {
		exec(fmt.Sprintf("UPDATE %s.clock SET ahead = ahead + %d * interval '1 microsecond'", schema, d.Microseconds()))
	}}
}

// onEachClocked runs a test on each database with a clock that can be moved.
func onEachClocked(t *testing.T, test func(t *testing.T, b clocked)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, clockedSQLite(t))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, clockedPostgres(t, servicetest.PostgresURL(t)))
	})
}
