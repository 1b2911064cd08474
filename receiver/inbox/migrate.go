package inbox

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/riverdb"
)

type (
	// Dialect is the SQL dialect of a database.
	Dialect = riverdb.Dialect
	// Migration is one step of the tables as SQL. Run its statements in one
	// transaction. The last statement records the version.
	Migration = riverdb.Migration
)

// The dialects.
const (
	Postgres = riverdb.Postgres
	SQLite   = riverdb.SQLite
)

// Migrate creates or updates the tables of the inbox and of River in the schema
// of [WithSchema]. It does nothing if they are current. Several processes may
// call it at once.
//
// [NewPostgres] also migrates, unless [WithoutMigration] is set. Call Migrate
// with a role that may change the schema. The role that runs the inbox then
// does not need that right. Other options have no effect.
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

// MigrateSQLite is [Migrate] for the file at path. It creates a missing file.
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

// Migrations returns the steps of [Migrate] and [MigrateSQLite] in order, for a
// database administrator or a migration tool. Only [WithSchema] has an effect.
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
		return "", configError("WithSchema(%q): SQLite has no schemas; leave the option out and give each inbox its own file", c.schema)
	case d != SQLite && c.schema == "":
		return DefaultSchema, nil
	}
	return c.schema, nil
}
