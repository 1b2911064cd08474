package sqldb_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sqldb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	schema = "sqldb_test"
	prefix = `"sqldb_test".`
)

var steps = []sqldb.Step{
	{
		`CREATE TABLE {schema}thing (id {id}, name text NOT NULL UNIQUE, body {blob}, at bigint)`,
		`CREATE INDEX thing_at ON {schema}thing (at)`,
	},
	{`ALTER TABLE {schema}thing ADD COLUMN note text`},
}

// backend is one way to connect to a database.
type backend struct {
	plan sqldb.Plan
	// open returns another handle of the same database, as in another process.
	open func() *sqldb.DB
}

func (b backend) migrated(t *testing.T) *sqldb.DB {
	t.Helper()
	db := b.open()
	require.NoError(t, db.Migrate(t.Context(), b.plan))
	return db
}

func planOf(name string, steps []sqldb.Step) sqldb.Plan {
	return sqldb.Plan{Modules: []sqldb.Module{sqldb.NewModule(name, "{schema}deployhook_migration", steps)}}
}

// onEach runs a test on each backend.
func onEach(t *testing.T, test func(t *testing.T, b backend)) {
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "test file?#%41.db")
		test(t, backend{planOf("test", steps), func() *sqldb.DB { return openSQLite(t, path) }})
	})
	t.Run("SQLite of the caller's", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "test.db")
		test(t, backend{planOf("test", steps), func() *sqldb.DB {
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(50)&_pragma=journal_mode(WAL)")
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return sqldb.New(db, sqldb.SQLite, "")
		}})
	})
	postgres := planOf("test", steps)
	postgres.Schema = schema
	t.Run("pgx", func(t *testing.T) {
		t.Parallel()
		pool := sqldbtest.NewPool(t)
		test(t, backend{postgres, func() *sqldb.DB { return onPool(t, pool) }})
	})
	t.Run("PostgreSQL through database-sql", func(t *testing.T) {
		t.Parallel()
		url := sqldbtest.NewDatabase(t)
		test(t, backend{postgres, func() *sqldb.DB {
			db, err := sql.Open("pgx", url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, db.Close()) })
			return sqldb.New(db, sqldb.Postgres, prefix)
		}})
	})
}

func openSQLite(t *testing.T, path string) *sqldb.DB {
	t.Helper()
	db, err := sqldb.OpenSQLite(t.Context(), path, 1, sqldb.BusyTimeout)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return sqldb.NewImmediate(db, "")
}

func onPool(t *testing.T, pool *pgxpool.Pool) *sqldb.DB {
	t.Helper()
	return sqldb.NewPool(pool, prefix)
}

func count(t *testing.T, q sqldb.Querier, where string, args ...any) (n int) {
	t.Helper()
	require.NoError(t, q.QueryRow(context.WithoutCancel(t.Context()), "SELECT count(*) FROM {schema}thing WHERE "+where, args...).Scan(&n))
	return n
}
