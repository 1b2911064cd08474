package jobdb_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	schema = "jobdb_test"
	table  = "thing_job"
)

var steps = []jobdb.Step{
	{
		`CREATE TABLE {schema}thing (id {id}, name text NOT NULL UNIQUE, body {blob}, at bigint)`,
		`CREATE INDEX thing_at ON {schema}thing (at)`,
	},
	{`ALTER TABLE {schema}thing ADD COLUMN note text`},
	jobdb.QueueTable(table),
}

// onEach runs a test on both databases. open returns another handle of the same
// database, as in another process.
func onEach(t *testing.T, test func(t *testing.T, open func() *jobdb.DB)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "test file?#%41.db")
		test(t, func() *jobdb.DB { return openSQLite(t, path) })
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		pool := sqldbtest.NewPool(t)
		test(t, func() *jobdb.DB { return onPool(t, pool) })
	})
}

func openSQLite(t *testing.T, path string) *jobdb.DB {
	t.Helper()
	db, err := jobdb.OpenSQLite(t.Context(), path)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

func onPool(t *testing.T, pool *pgxpool.Pool) *jobdb.DB {
	t.Helper()
	db, err := jobdb.NewPostgres(pool, schema)
	require.NoError(t, err)
	return db
}

func migrated(t *testing.T, open func() *jobdb.DB) *jobdb.DB {
	t.Helper()
	db := open()
	require.NoError(t, db.Migrate(t.Context(), "test", steps))
	return db
}

func count(t *testing.T, q jobdb.Querier, where string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, q.QueryRow(context.WithoutCancel(t.Context()), "SELECT count(*) FROM {schema}thing WHERE "+where, args...).Scan(&n))
	return n
}
