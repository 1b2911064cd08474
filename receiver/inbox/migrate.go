package inbox

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/jobdb"
)

type (
	// Dialect is the SQL dialect of a database.
	Dialect = jobdb.Dialect
	// Migration is one step of the tables as SQL. Run its statements in one
	// transaction. The last statement records the version.
	Migration = jobdb.Migration
)

// The dialects.
const (
	Postgres = jobdb.Postgres
	SQLite   = jobdb.SQLite
)

// Migrate creates or updates the tables of the inbox in the schema of
// [WithSchema]. It does nothing if they are current. Several processes may call
// it at once.
//
// [NewPostgres] also migrates, unless [WithoutMigration] is set. Call Migrate
// with a role that may change the schema. The role that runs the inbox then
// does not need that right. Other options have no effect.
//
// Errors of the options wrap [ErrConfig].
func Migrate(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	tables, err := tablesOf(Postgres, opts)
	if err != nil {
		return err
	}
	return asConfig(tables.MigratePostgres(ctx, pool))
}

// MigrateSQLite is [Migrate] for the file at path. It creates a missing file.
func MigrateSQLite(ctx context.Context, path string, opts ...Option) error {
	tables, err := tablesOf(SQLite, opts)
	if err != nil {
		return err
	}
	return asConfig(tables.MigrateSQLite(ctx, path))
}

// Migrations returns the steps of [Migrate] and [MigrateSQLite] in order, for a
// database administrator or a migration tool. Only [WithSchema] has an effect.
func Migrations(d Dialect, opts ...Option) ([]Migration, error) {
	tables, err := tablesOf(d, opts)
	if err != nil {
		return nil, err
	}
	all, err := tables.Migrations(d)
	return all, asConfig(err)
}

// tablesOf returns the tables that the options describe.
func tablesOf(d Dialect, opts []Option) (jobdb.Tables, error) {
	c, err := newConfig(opts)
	if err != nil {
		return jobdb.Tables{}, err
	}
	schema, err := c.schemaFor(d)
	return jobdb.Tables{Name: module, Schema: schema, Steps: steps()}, err
}

func (c *config) schemaFor(d Dialect) (string, error) {
	switch {
	case c.schemaGiven && c.schema == "":
		return "", configError("WithSchema: the name is empty; leave the option out for the default %q", DefaultSchema)
	case d == SQLite && c.schemaGiven:
		return "", configError("WithSchema(%q): SQLite has no schemas; leave the option out and give each inbox its own file", c.schema)
	case d != SQLite && c.schema == "":
		return DefaultSchema, nil
	}
	return c.schema, nil
}
