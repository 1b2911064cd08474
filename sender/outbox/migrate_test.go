package outbox_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestMigrations(t *testing.T) {
	t.Parallel()
	in := func(schema string) (opts []outbox.Option) {
		if schema != "" {
			opts = append(opts, outbox.WithSchema(schema))
		}
		return opts
	}
	without := func(schema string) []outbox.Option {
		return append(in(schema), outbox.WithSealingKeys(testKey), outbox.WithoutMigration())
	}
	sqldbtest.Migrator{
		Config: outbox.ErrConfig,
		Migrate: func(ctx context.Context, pool *pgxpool.Pool, schema string) error {
			return outbox.Migrate(ctx, pool, in(schema)...)
		},
		MigrateSQLite: func(ctx context.Context, path, schema string) error {
			return outbox.MigrateSQLite(ctx, path, in(schema)...)
		},
		Migrations: func(d outbox.Dialect, schema string) ([]outbox.Migration, error) {
			return outbox.Migrations(d, in(schema)...)
		},
		OpenPostgres: func(ctx context.Context, pool *pgxpool.Pool, schema string) error {
			return closed(outbox.NewPostgres(ctx, pool, without(schema)...))
		},
		OpenSQLite: func(ctx context.Context, path string) error {
			return closed(outbox.OpenSQLite(ctx, path, without("")...))
		},
	}.Run(t)
}

func closed(o *outbox.Outbox, err error) error {
	if err != nil {
		return err
	}
	return o.Close()
}

// A pooler in session mode keeps prepared statements.
func TestPgBouncer_SessionMode(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t, "pool_mode = session")
	w := &world{pool: sqldbtest.OpenPool(t, pooled)}
	w.open(t, outbox.WithPolling(), outbox.WithPreparedStatements())
}
