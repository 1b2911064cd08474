package sqldbtest

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// Migrator is a store whose tables can be made without it, in a schema on
// PostgreSQL. An empty schema stands for the store's own default.
type Migrator struct {
	// Config is what the store's configuration errors wrap.
	Config error
	// Migrate, MigrateSQLite and Migrations are the functions of these names.
	Migrate       func(ctx context.Context, pool *pgxpool.Pool, schema string) error
	MigrateSQLite func(ctx context.Context, path, schema string) error
	Migrations    func(d sqldb.Dialect, schema string) ([]sqldb.Migration, error)
	// OpenPostgres and OpenSQLite open the store without migration and close it.
	OpenPostgres func(ctx context.Context, pool *pgxpool.Pool, schema string) error
	OpenSQLite   func(ctx context.Context, path string) error
}

// Run requires that the store works on tables that Migrate made and on those
// that somebody made with the SQL of Migrations, and that mistakes are
// reported.
func (m Migrator) Run(t *testing.T) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		m.onSQLite(t)
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		m.onPostgres(t)
	})
}

func (m Migrator) onSQLite(t *testing.T) {
	ctx, dir := t.Context(), t.TempDir()
	path := filepath.Join(dir, "migrated.db")
	require.NoError(t, m.MigrateSQLite(ctx, path, ""))
	require.NoError(t, m.MigrateSQLite(ctx, path, ""), "again")
	require.NoError(t, m.OpenSQLite(ctx, path))
	require.ErrorIs(t, m.MigrateSQLite(ctx, path, "other"), m.Config)

	path = filepath.Join(dir, "by hand.db")
	db, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	m.byHand(t, sqldb.SQLite, "", func(statement string) error {
		_, err := db.ExecContext(ctx, statement)
		return err
	})
	require.NoError(t, db.Close())
	require.NoError(t, m.OpenSQLite(ctx, path))

	_, err = m.Migrations(sqldb.SQLite, "other")
	require.ErrorIs(t, err, m.Config)
	_, err = m.Migrations(7, "")
	require.ErrorIs(t, err, m.Config)
}

func (m Migrator) onPostgres(t *testing.T) {
	ctx, pool := t.Context(), NewPool(t)
	for _, schema := range []string{"", "other"} {
		require.NoError(t, m.Migrate(ctx, pool, schema))
		require.NoError(t, m.Migrate(ctx, pool, schema), "again")
		require.NoError(t, m.OpenPostgres(ctx, pool, schema))
	}
	require.ErrorIs(t, m.Migrate(ctx, nil, ""), m.Config)
	require.ErrorIs(t, m.Migrate(ctx, pool, "no name"), m.Config)

	const schema = "by_hand"
	m.byHand(t, sqldb.Postgres, schema, func(statement string) error {
		_, err := pool.Exec(ctx, statement)
		return err
	})
	require.NoError(t, m.OpenPostgres(ctx, pool, schema))
}

// byHand runs what a database administrator runs.
func (m Migrator) byHand(t *testing.T, d sqldb.Dialect, schema string, run func(statement string) error) {
	t.Helper()
	all, err := m.Migrations(d, schema)
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, migration := range all {
		for _, statement := range migration.Statements {
			require.NoError(t, run(statement), statement)
		}
	}
}
