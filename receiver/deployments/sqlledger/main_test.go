package sqlledger_test

import (
	"context"
	"crypto/rand"
	"database/sql"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// patience is the limit for waiting. Only a hang takes longer.
const patience = 10 * time.Minute

func TestMain(m *testing.M) { leaktest.Main(m) }

// newSchema returns a pool on the test's own PostgreSQL schema.
func newSchema(t testing.TB) *sql.DB {
	t.Helper()
	server := servicetest.PostgresURL(t)
	name := "sqlledger_" + strings.ToLower(rand.Text()[:12])
	admin := openPostgres(t, server)
	_, err := admin.ExecContext(t.Context(), "CREATE SCHEMA "+name)
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.ExecContext(context.Background(), "DROP SCHEMA "+name+" CASCADE")
		require.NoError(t, err)
	})
	return poolOn(t, name)
}

// poolOn returns a pool on a schema.
func poolOn(t testing.TB, schema string) *sql.DB {
	t.Helper()
	return openPostgres(t, poolURL(t, schema))
}

func poolURL(t testing.TB, schema string) string {
	t.Helper()
	u, err := url.Parse(servicetest.PostgresURL(t))
	require.NoError(t, err)
	query := u.Query()
	query.Set("search_path", schema)
	u.RawQuery = query.Encode()
	return u.String()
}

func openPostgres(t testing.TB, url string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", url)
	require.NoError(t, err)
	db.SetMaxOpenConns(5)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func newPostgres(t testing.TB, db *sql.DB, opts ...sqlledger.Option) *sqlledger.Ledger {
	t.Helper()
	l, err := sqlledger.NewPostgres(t.Context(), db, opts...)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, l.Close())
		require.NoError(t, db.PingContext(context.WithoutCancel(t.Context())), "db stays open")
	})
	return l
}

func openSQLite(t testing.TB, path string, opts ...sqlledger.Option) *sqlledger.Ledger {
	t.Helper()
	l, err := sqlledger.OpenSQLite(t.Context(), path, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, l.Close()) })
	return l
}

func newPath(t testing.TB) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "ledger.db")
}

func deployment(id string, status payload.Status) *payload.Deployment {
	start := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	d := &payload.Deployment{
		DeploymentID: id, CommitSHA: "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2", Environment: "production", Service: "api",
		Status: status, StartedAt: start,
	}
	if status.Terminal() {
		d.CompletedAt = start.Add(5 * time.Minute)
	}
	return d
}
