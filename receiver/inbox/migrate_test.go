package inbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/receiver/inbox"
)

func TestMigrations(t *testing.T) {
	t.Parallel()
	in := func(schema string) (opts []inbox.Option) {
		if schema != "" {
			opts = append(opts, inbox.WithSchema(schema))
		}
		return opts
	}
	without := func(schema string) []inbox.Option {
		return append(append(testOptions(), inbox.WithoutMigration()), in(schema)...)
	}
	sqldbtest.Migrator{
		Config: inbox.ErrConfig,
		Migrate: func(ctx context.Context, pool *pgxpool.Pool, schema string) error {
			return inbox.Migrate(ctx, pool, in(schema)...)
		},
		MigrateSQLite: func(ctx context.Context, path, schema string) error {
			return inbox.MigrateSQLite(ctx, path, in(schema)...)
		},
		Migrations: func(d inbox.Dialect, schema string) ([]inbox.Migration, error) {
			return inbox.Migrations(d, in(schema)...)
		},
		OpenPostgres: func(ctx context.Context, pool *pgxpool.Pool, schema string) error {
			return closed(inbox.NewPostgres(ctx, pool, (&calls{}).handle, without(schema)...))
		},
		OpenSQLite: func(ctx context.Context, path string) error {
			return closed(inbox.OpenSQLite(ctx, path, (&calls{}).handle, without("")...))
		},
	}.Run(t)
}

func closed(in *inbox.Inbox, err error) error {
	if err != nil {
		return err
	}
	return in.Close()
}

// A pooler in session mode keeps prepared statements.
func TestPgBouncer_SessionMode(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t, "pool_mode = session")
	require.NoError(t, closed(inbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, pooled), (&calls{}).handle,
		append(testOptions(), inbox.WithPolling(), inbox.WithPreparedStatements())...)))
}
