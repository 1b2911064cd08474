package inbox

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/riverdb"
)

type (
	// Dialect is a database's kind of SQL.
	Dialect = riverdb.Dialect
	// Migration is one step of the tables as SQL. Its statements belong in one
	// transaction. The last of them records the version.
	Migration = riverdb.Migration
)

// The dialects.
const (
	Postgres = riverdb.Postgres
	SQLite   = riverdb.SQLite
)

// Migrate creates or updates the tables in the schema of [WithSchema]: the inbox's
// and River's. It does nothing if they are current, and any number of processes
// may call it at once. [NewPostgres] does the same unless [WithoutMigration] is
// given. Call Migrate with a role that may change the schema, so that the role
// which runs the inbox need not. Other options change nothing here.
//
// Errors of the options wrap [ErrConfig].
func Migrate(ctx context.Context, pool *pgxpool.Pool, opts ...Option) error {
	schema, err := schemaOf(Postgres, opts)
	if err != nil {
		return err
	}
	db, err := riverdb.NewPostgres(pool, schema)
	if err != nil {
		return asConfig(err)
	}
	return migrate(ctx, db)
}

// MigrateSQLite is [Migrate] for the file at path, which it creates if it is
// missing.
func MigrateSQLite(ctx context.Context, path string, opts ...Option) error {
	if _, err := schemaOf(SQLite, opts); err != nil {
		return err
	}
	db, err := riverdb.OpenSQLite(ctx, path)
	if err != nil {
		return asConfig(err)
	}
	defer db.Close()
	return migrate(ctx, db)
}

func migrate(ctx context.Context, db *riverdb.DB) error {
	if err := db.Migrate(ctx, module, steps()); err != nil {
		return asConfig(err)
	}
	return nil
}

// Migrations returns what [Migrate] and [MigrateSQLite] run, in order, for a
// database administrator or a migration tool. Only [WithSchema] matters here.
func Migrations(d Dialect, opts ...Option) ([]Migration, error) {
	schema, err := schemaOf(d, opts)
	if err != nil {
		return nil, err
	}
	all, err := riverdb.Migrations(d, schema, module, steps())
	if err != nil {
		return nil, asConfig(err)
	}
	return all, nil
}

// schemaOf returns the schema that the options name. It is empty for SQLite.
func schemaOf(d Dialect, opts []Option) (string, error) {
	c, err := newConfig(opts)
	if err != nil {
		return "", err
	}
	return c.schemaFor(d)
}

func (c *config) schemaFor(d Dialect) (string, error) {
	switch {
	case d == SQLite && c.schema != "":
		return "", configError("WithSchema(%q): SQLite has no schemas; give each inbox a file of its own", c.schema)
	case d != SQLite && c.schema == "":
		return DefaultSchema, nil
	}
	return c.schema, nil
}
