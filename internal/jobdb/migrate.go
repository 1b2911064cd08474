package jobdb

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// Tables describes the tables of one module. The module's own functions for
// migrations use it without an open module.
type Tables struct {
	// Name is the module's name, which is recorded with the versions.
	Name string
	// Schema is the schema on PostgreSQL. It is empty for SQLite.
	Schema string
	// Steps lists the versions of the tables.
	Steps []Step
}

// MigratePostgres runs [DB.Migrate] on the database of pool.
func (t Tables) MigratePostgres(ctx context.Context, pool *pgxpool.Pool) error {
	db, err := NewPostgres(pool, t.Schema)
	if err != nil {
		return err
	}
	return db.Migrate(ctx, t.Name, t.Steps)
}

// MigrateSQLite runs [DB.Migrate] on the file at path.
func (t Tables) MigrateSQLite(ctx context.Context, path string) error {
	db, err := OpenSQLite(ctx, path)
	if err != nil {
		return err
	}
	return errors.Join(db.Migrate(ctx, t.Name, t.Steps), db.Close())
}

// Migrations returns the SQL of [DB.Migrate].
func (t Tables) Migrations(d Dialect) ([]Migration, error) {
	db := sqldb.NewImmediate(nil, "")
	switch d {
	case SQLite:
	case Postgres:
		if err := checkSchema(t.Schema); err != nil {
			return nil, err
		}
		db = sqldb.NewPool(nil, prefix(t.Schema))
	default:
		return nil, sqldb.ConfigErrorf("%v: the dialect must be Postgres or SQLite", d)
	}
	return db.Migrations(newPlan(t.Schema, t.Name, t.Steps)), nil
}

// Setup configures [DB.Prepare].
type Setup struct {
	// WithoutMigration only checks the tables.
	WithoutMigration bool
	// PreparedStatements declares that a pooler supports prepared statements.
	PreparedStatements bool
	// Polling makes queues poll their tables instead of listening for
	// notifications.
	Polling bool
}

// Prepare checks that the connections support queues, and migrates or checks
// the tables of the named module.
func (db *DB) Prepare(ctx context.Context, name string, steps []Step, setup Setup) error {
	pooled, err := db.CheckPooler(ctx, setup.PreparedStatements)
	if pooled && !setup.Polling {
		err = errors.Join(err, sqldb.ConfigErrorf("the connections go through a pooler such as PgBouncer, behind which LISTEN may hear "+
			"nothing; use WithPolling"))
	}
	if err != nil {
		return err
	}
	db.polling = setup.Polling && db.Dialect() == Postgres
	if setup.WithoutMigration {
		return db.CheckVersions(ctx, newPlan(db.schema, name, steps))
	}
	return db.Migrate(ctx, name, steps)
}

// Migrate creates or updates the tables of the named module. Any number of
// processes may call it at once. A file or schema has only one module. The name
// of another module, and tables of a later release, give an error that wraps
// [ErrConfig].
func (db *DB) Migrate(ctx context.Context, name string, steps []Step) error {
	return db.DB.Migrate(ctx, newPlan(db.schema, name, steps))
}

func newPlan(schema, name string, steps []Step) sqldb.Plan {
	return sqldb.Plan{Schema: schema, Modules: []sqldb.Module{sqldb.NewModule(name, "{schema}deployhook_migration", steps)}}
}
