package jobdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"

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
	plan, err := newPlan(d, t.Schema, t.Name, t.Steps)
	if err != nil {
		return nil, err
	}
	return db.Migrations(plan), nil
}

// Setup configures [DB.Prepare].
type Setup struct {
	// WithoutMigration only checks the tables.
	WithoutMigration bool
	// PreparedStatements declares that a pooler supports prepared statements.
	PreparedStatements bool
	// Polling makes River poll its tables instead of listening for
	// notifications.
	Polling bool
}

// Prepare checks that the connections support River, and migrates or checks the
// tables of River and of the named module. It also finds out whether the role
// may rebuild River's indexes, which only their owner may.
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
		plan, err := newPlan(db.Dialect(), db.schema, name, steps)
		if err == nil {
			err = db.CheckVersions(ctx, plan)
		}
		if err != nil {
			return err
		}
	} else if err := db.Migrate(ctx, name, steps); err != nil {
		return err
	}
	return db.findOwner(ctx)
}

// findOwner turns off River's reindexer for a role that does not own the
// tables.
func (db *DB) findOwner(ctx context.Context) error {
	if db.Dialect() == SQLite {
		return nil
	}
	var owner bool
	err := db.QueryRow(ctx, `SELECT pg_has_role(c.relowner, 'USAGE') FROM pg_catalog.pg_class c
		JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = CAST(? AS text) AND c.relname = 'river_job'`, db.schema).Scan(&owner)
	if err != nil {
		return fmt.Errorf("looking for the owner of River's tables: %w", err)
	}
	db.noReindex = !owner
	return nil
}

// Migrate creates or updates the tables of River and of the named module. Any
// number of processes may call it at once. A file or schema has only one
// module. The name of another module, and tables of a later release, give an
// error that wraps [ErrConfig].
func (db *DB) Migrate(ctx context.Context, name string, steps []Step) error {
	plan, err := newPlan(db.Dialect(), db.schema, name, steps)
	if err != nil {
		return err
	}
	return db.DB.Migrate(ctx, plan)
}

// newPlan puts the module's own tables first. The check that the database
// belongs to the module must precede any change to River's tables.
func newPlan(d Dialect, schema, name string, steps []Step) (sqldb.Plan, error) {
	river, err := riverTables(d, prefix(schema))
	if err != nil {
		return sqldb.Plan{}, fmt.Errorf("reading River's migrations: %w", err)
	}
	own := sqldb.NewModule(name, "{schema}deployhook_migration", steps)
	return sqldb.Plan{Schema: schema, Modules: []sqldb.Module{own, river}}, nil
}

// needless are the indexes of river_job that nothing here reads. They are for
// lists by arguments, metadata and kind. Each change of a job would write to
// them, and the first two are the most expensive ones to write.
var needless = []string{"river_job_args_index", "river_job_metadata_index", "river_job_kind"}

// riverLineSince is the first version of River's tables in which the versions
// belong to a line.
const riverLineSince = 5

// riverTables describes River's tables, so that they are migrated in the same
// way.
func riverTables(d Dialect, prefix string) (sqldb.Module, error) {
	all, err := riverVersions(riverpgxv5.New(nil))
	if d == SQLite {
		all, err = sqliteVersions()
	}
	if err != nil {
		return sqldb.Module{}, err
	}
	m := sqldb.Module{
		Name: "river", Raw: true, AcceptsNewer: true, Versions: "{schema}river_migration",
		Read: "SELECT coalesce(max(version), 0) FROM {schema}river_migration",
		Record: func(version int) string {
			if version < riverLineSince {
				return fmt.Sprintf("INSERT INTO {schema}river_migration (version) VALUES (%d)", version)
			}
			return fmt.Sprintf("INSERT INTO {schema}river_migration (line, version) VALUES ('main', %d)", version)
		},
	}
	for i, v := range all {
		if v.Version != i+1 {
			return m, fmt.Errorf("version %d, want %d", v.Version, i+1)
		}
		m.Steps = append(m.Steps, Step{strings.ReplaceAll(v.SQLUp, "/* TEMPLATE: schema */", prefix)})
	}
	last := &m.Steps[len(m.Steps)-1]
	for _, index := range needless {
		*last = append(*last, "DROP INDEX IF EXISTS "+prefix+index)
	}
	return m, nil
}

func sqliteVersions() ([]rivermigrate.Migration, error) {
	driver, err := sqliteDriver(nil)
	if err != nil {
		return nil, err
	}
	return riverVersions(driver)
}

func riverVersions[T any](driver riverdriver.Driver[T]) ([]rivermigrate.Migration, error) {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return migrator.AllVersions(), nil
}
