// Package sqldbtest creates PostgreSQL databases for tests.
package sqldbtest

import (
	"context"
	"crypto/rand"
	neturl "net/url"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// MaxConns is the maximum number of connections of a pool from [NewPool].
const MaxConns = 10

// patience limits statements on the server itself.
const patience = time.Minute

// NewDatabase creates an empty database on the server of
// DEPLOYHOOK_TEST_POSTGRES and returns its URL, or skips the test. The database
// is dropped when the test ends.
func NewDatabase(t testing.TB) (url string) {
	t.Helper()
	server := servicetest.PostgresURL(t)
	name := "deployhook_" + strings.ToLower(rand.Text()[:16])
	onServer(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { onServer(t, server, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	own, err := neturl.Parse(server)
	require.NoError(t, err)
	own.Path = "/" + name
	return own.String()
}

func onServer(t testing.TB, url, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	require.NoError(t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	require.NoError(t, err)
}

// NewPool returns a pool of at most [MaxConns] connections to a new, empty
// database, or skips the test. The pool is closed when the test ends.
func NewPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return OpenPool(t, NewDatabase(t))
}

// OpenPool returns another pool to a database of [NewDatabase].
func OpenPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.MaxConns = MaxConns
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
