package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Step is one version of a module's tables: statements that bring the version
// before to this one. A released step must never change. {blob} stands for the
// type of bytes and {id} for that of a generated integer primary key.
type Step []string

// Migration is one step as SQL for a person or a tool to run. Its statements
// belong in one transaction. The last of them records the version.
type Migration struct {
	// Module names the tables that the step belongs to: a store of this
	// repository, or River.
	Module string
	// Version is the module's version after the step, from 1.
	Version int
	// Statements are the step, in order.
	Statements []string
}

// Module is a set of tables that has a version of its own. Make it with
// [NewModule], unless the tables and their versions are another project's.
type Module struct {
	// Name is the module's name, for messages and [Migration].
	Name string
	// Steps are the versions, in order.
	Steps []Step
	// Raw says that statements are run as they are, without [Dialect.Rewrite].
	Raw bool
	// Versions is the table that records the version. {schema} may stand before
	// its name.
	Versions string
	// Read is a query for the version, one integer. It runs if Versions exists.
	Read string
	// Record returns the statement that records a version.
	Record func(version int) string
	// First creates Versions. It is empty if the first step does.
	First string
	// Foreign counts the versions of other modules in Versions. It is empty if
	// others may have theirs there.
	Foreign string
	// AcceptsNewer says that tables which a later release made can be used.
	AcceptsNewer bool
}

// NewModule returns a module whose versions are in a table of the given name. The
// table belongs to this module alone.
func NewModule(name, versions string, steps []Step) Module {
	own := "module = '" + name + "'"
	return Module{
		Name: name, Steps: steps, Versions: versions,
		First: "CREATE TABLE IF NOT EXISTS " + versions + " (module text NOT NULL, version bigint NOT NULL, " +
			"applied_at bigint NOT NULL, PRIMARY KEY (module, version))",
		Read:    "SELECT coalesce(max(version), 0) FROM " + versions + " WHERE " + own,
		Foreign: "SELECT count(*) FROM " + versions + " WHERE NOT " + own,
		Record: func(version int) string {
			return fmt.Sprintf("INSERT INTO %s (module, version, applied_at) VALUES ('%s', %d, {now})", versions, name, version)
		},
	}
}

// Plan is everything that a store keeps in its database.
type Plan struct {
	// Schema is the bare name of the PostgreSQL schema that all tables are in. It
	// is created if it is missing. Empty means that the schema is not ours.
	Schema string
	// Modules are the sets of tables, in the order in which they are made.
	Modules []Module
}

// Migrate brings the tables up to date, one step in each transaction. It looks
// first, so that a role that may not change tables can call it on current ones.
// Any number of processes may call it at once: a lock of each transaction makes
// them wait for each other, and no state of a session is used.
func (db *DB) Migrate(ctx context.Context, plan Plan) error {
	for _, m := range plan.Modules {
		for {
			version, err := db.version(ctx, db, m)
			if err == nil && version < len(m.Steps) {
				err = WhileBusy(ctx, func() error { return db.migrateOnce(ctx, plan.Schema, m) })
			} else if err == nil {
				break
			}
			if err != nil {
				return fmt.Errorf("migrating the tables of %s: %w", m.Name, db.explain(err))
			}
		}
	}
	return nil
}

// explain says what to do about a right that the role lacks.
func (db *DB) explain(err error) error {
	state := SQLState(err)
	if state != stateNoPermission && state != stateNoSchema || errors.Is(err, ErrConfig) {
		return err
	}
	return ConfigErrorf("the role may not do that, or its schema is missing: %w; let a role that may run Migrate, or the SQL of Migrations, and grant this one "+
		"the rights that the package's documentation lists", err)
}

// migrateOnce runs the next step, if another process has not done so.
func (db *DB) migrateOnce(ctx context.Context, schema string, m Module) error {
	return db.InTx(ctx, func(ctx context.Context, tx *Tx) error {
		if err := tx.lockMigrations(ctx, m); err != nil {
			return err
		}
		version, err := db.version(ctx, tx, m)
		if err != nil || version >= len(m.Steps) {
			return err
		}
		if err := tx.createSchema(ctx, schema); err != nil {
			return err
		}
		statements := db.statements(m, version+1)
		for i, statement := range statements {
			if err := tx.script(ctx, statement); err != nil {
				return fmt.Errorf("version %d, statement %d of %d: %w", version+1, i+1, len(statements), err)
			}
		}
		return nil
	})
}

// lockMigrations lets one process at a time past. SQLite's transactions exclude
// each other anyway.
func (tx *Tx) lockMigrations(ctx context.Context, m Module) error {
	if tx.db.dialect == SQLite {
		return nil
	}
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(CAST(? AS text), 0))",
		"deployhook/migrate "+tx.db.Text(m.Versions))
	return err
}

// createSchema asks first: CREATE SCHEMA IF NOT EXISTS needs the privilege even
// if the schema exists.
func (tx *Tx) createSchema(ctx context.Context, schema string) error {
	if schema == "" {
		return nil
	}
	var exists bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = CAST(? AS text))", schema).Scan(&exists)
	if err != nil || exists {
		return err
	}
	if err := tx.script(ctx, createSchema(schema)); err != nil {
		if SQLState(err) == stateNoPermission {
			return ConfigErrorf("the role may not create the schema %s: %w; create it as an administrator: "+
				"CREATE SCHEMA %s AUTHORIZATION the_role", schema, err, schema)
		}
		return fmt.Errorf("creating schema %s: %w", schema, err)
	}
	return nil
}

func createSchema(name string) string { return `CREATE SCHEMA IF NOT EXISTS "` + name + `"` }

// statements returns everything that one step runs.
func (db *DB) statements(m Module, version int) []string {
	var all []string
	if version == 1 && m.First != "" {
		all = append(all, db.Text(m.First))
	}
	for _, statement := range m.Steps[version-1] {
		if !m.Raw {
			statement = db.Text(db.dialect.types(statement))
		}
		all = append(all, statement)
	}
	return append(all, db.Text(m.Record(version)))
}

// Migrations returns all steps of a plan as SQL, in order.
func (db *DB) Migrations(plan Plan) []Migration {
	var all []Migration
	for _, m := range plan.Modules {
		for i := range m.Steps {
			statements := db.statements(m, i+1)
			if len(all) == 0 && plan.Schema != "" {
				statements = append([]string{createSchema(plan.Schema)}, statements...)
			}
			all = append(all, Migration{Module: m.Name, Version: i + 1, Statements: statements})
		}
	}
	return all
}

// CheckVersions returns an error that wraps [ErrConfig] unless the tables are
// there and current. It only reads.
func (db *DB) CheckVersions(ctx context.Context, plan Plan) error {
	for _, m := range plan.Modules {
		version, err := db.version(ctx, db, m)
		if err != nil {
			return fmt.Errorf("reading the version of the tables of %s: %w", m.Name, db.explain(err))
		}
		if version < len(m.Steps) {
			return ConfigErrorf("WithoutMigration: the tables of %s have version %d, and %d is needed; let a role that may change "+
				"tables run Migrate, or the SQL of Migrations", m.Name, version, len(m.Steps))
		}
	}
	return nil
}

// version returns 0 if there are no tables. A version of a later release is an
// error, since its rules are not known.
func (db *DB) version(ctx context.Context, q Querier, m Module) (int, error) {
	there, err := db.tableExists(ctx, q, db.Text(m.Versions))
	if err != nil || !there {
		return 0, err
	}
	var version, foreign int
	if m.Foreign != "" {
		if err := q.QueryRow(ctx, m.Foreign).Scan(&foreign); err != nil {
			return 0, err
		}
	}
	if foreign > 0 {
		return 0, ConfigErrorf("the database is another module's; give each a file, or a schema, of its own")
	}
	if err := q.QueryRow(ctx, m.Read).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(m.Steps) && !m.AcceptsNewer {
		return 0, ConfigErrorf("the tables of %s have version %d, and this release knows %d; use the later release", m.Name, version, len(m.Steps))
	}
	return version, nil
}

// tableExists looks for a table by its name as it stands in statements.
func (db *DB) tableExists(ctx context.Context, q Querier, table string) (there bool, err error) {
	if db.dialect == SQLite {
		err = q.QueryRow(ctx, "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE",
			strings.Trim(table, `"`)).Scan(&there)
		return there, err
	}
	// Asking pg_class makes the connection learn what others made since it last
	// looked, as a lock on a table does and an advisory lock does not.
	// to_regclass alone may answer from its cache.
	err = q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass(CAST(? AS text)))", table).Scan(&there)
	return there, err
}
