// Package sqldbtest gives tests PostgreSQL databases of their own.
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

// MaxConns is how many connections a pool of [NewPool] makes at most.
const MaxConns = 10

// patience bounds what is done to the server itself.
const patience = time.Minute

// NewDatabase creates an empty database on the server that DEPLOYHOOK_TEST_POSTGRES names, or skips the test, and returns its
// URL. It is dropped when the test ends.
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

// NewPool returns a pool of at most [MaxConns] connections to an empty database of its own, or skips the test. It is closed
// when the test ends.
func NewPool(t testing.TB) *pgxpool.Pool {
	t.Helper()
	return OpenPool(t, NewDatabase(t))
}

// OpenPool returns one more pool to a database of [NewDatabase].
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
