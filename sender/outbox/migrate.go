package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/jobdb"
)

type (
	// Dialect is a database's kind of SQL.
	Dialect = jobdb.Dialect
	// Migration is one step of the tables as SQL. Its statements belong in one
	// transaction. The last of them records the version.
	Migration = jobdb.Migration
)

// The dialects.
const (
	Postgres = jobdb.Postgres
	SQLite   = jobdb.SQLite
)

// Migrate creates or updates the tables in the schema of [WithSchema]. It does
// nothing if they are current, and any number of processes may call it at once.
// [NewPostgres] does the same unless [WithoutMigration] is given. Call Migrate
// with a role that may change the schema, so that the role which runs the
// outbox need not. Other options change nothing here.
//
// Errors of the options wrap [ErrConfig].
func Migrate(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	tables, err := tablesOf(Postgres, opts)
	if err != nil {
		return err
	}
	return configError(tables.MigratePostgres(ctx, pool))
}

// MigrateSQLite is [Migrate] for the file at path, which it creates if it is
// missing.
func MigrateSQLite(ctx context.Context, path string, opts ...Option) error {
	tables, err := tablesOf(SQLite, opts)
	if err != nil {
		return err
	}
	return configError(tables.MigrateSQLite(ctx, path))
}

// Migrations returns what [Migrate] and [MigrateSQLite] run, in order, for a
// database administrator or a migration tool. Only [WithSchema] matters here.
func Migrations(d Dialect, opts ...Option) ([]Migration, error) {
	tables, err := tablesOf(d, opts)
	if err != nil {
		return nil, err
	}
	all, err := tables.Migrations(d)
	return all, configError(err)
}

// tablesOf returns the tables that the options describe.
func tablesOf(d Dialect, opts []Option) (jobdb.Tables, error) {
	c := applyOptions(opts)
	schema, err := c.schemaFor(d)
	return jobdb.Tables{Name: module, Schema: schema, Steps: migrations}, errors.Join(append(c.mistakes, err)...)
}

func (c *config) schemaFor(d Dialect) (string, error) {
	if d != SQLite {
		return c.schema, nil
	}
	if c.schema != defaultSchema {
		return "", fmt.Errorf("%w: WithSchema: a SQLite file has no schemas; leave it out", ErrConfig)
	}
	return "", nil
}
