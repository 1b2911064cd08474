package sqldb

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Step is one version of a module's tables. Its statements update the previous
// version to this one. A released step must never change. {blob} stands for the
// type of bytes, and {id} for that of a generated integer primary key. {text}
// is text that is compared byte by byte. On PostgreSQL the locale of the
// database makes each comparison in an index several times slower, and an
// update of the system's library can change its order. Text in {sqlite:…} or
// {postgres:…} is for that dialect alone. Its only braces may be those of
// {schema}. A statement without text for a dialect is skipped there.
type Step []string

// Migration is one step as SQL for a person or a tool to run. Run its
// statements in one transaction. The last one records the version.
type Migration struct {
	// Module names the owner of the tables, which is a store of this repository.
	Module string
	// Version is the module's version after the step, counted from 1.
	Version int
	// Statements are the statements of the step, in order.
	Statements []string
}

// Module is a set of tables with a version. Create it with [NewModule], unless
// the tables and their versions belong to another project.
type Module struct {
	// Name is the module's name, for messages and [Migration].
	Name string
	// Steps are the versions, in order.
	Steps []Step
	// Raw means that statements run unchanged, without [Dialect.Rewrite].
	Raw bool
	// Versions is the table that records the version. {schema} may precede its
	// name.
	Versions string
	// Read is a query for the version, one integer. It runs if Versions exists.
	Read string
	// Record returns the statement that records a version.
	Record func(version int) string
	// First creates Versions. It is empty if the first step does so.
	First string
	// Foreign counts the versions of other modules in Versions. It is empty if
	// other modules may use the table too.
	Foreign string
	// AcceptsNewer means that tables of a later release are usable.
	AcceptsNewer bool
}

// NewModule returns a module that records its versions in the named table. The
// table belongs only to this module.
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

// Plan describes everything that a store keeps in its database.
type Plan struct {
	// Schema is the unquoted name of the PostgreSQL schema of all tables. It is
	// created if it is missing. Empty means that the caller manages the schema.
	Schema string
	// Modules are the sets of tables, in the order of their creation.
	Modules []Module
}

// Migrate updates the tables, with one transaction for each step. It first
// reads the versions, so that a role that may not change tables can call it for
// current ones. Any number of processes may call it at once. A lock in each
// transaction makes them wait for each other, and no state of a session is
// used.
func (db *DB) Migrate(ctx context.Context, plan Plan) error {
	for _, m := range plan.Modules {
		for {
			version, err := db.readVersion(ctx, m)
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

// readVersion reads the version outside a transaction. On SQLite a reader can
// meet the lock of another process that is just committing.
func (db *DB) readVersion(ctx context.Context, m Module) (version int, err error) {
	err = WhileBusy(ctx, func() error {
		version, err = db.version(ctx, db, m)
		return err
	})
	return version, err
}

// explain adds advice about a missing right.
func (db *DB) explain(err error) error {
	state := SQLState(err)
	if state != stateNoPermission && state != stateNoSchema || errors.Is(err, ErrConfig) {
		return err
	}
	return ConfigErrorf("the role lacks a right, or its schema is missing: %w; let another role run Migrate or the SQL of Migrations, and grant this role "+
		"the rights that the package's documentation lists", err)
}

// migrateOnce runs the next step, unless another process has done so.
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

// lockMigrations admits one process at a time. On SQLite, transactions exclude
// each other anyway.
func (tx *Tx) lockMigrations(ctx context.Context, m Module) error {
	if tx.db.dialect == SQLite {
		return nil
	}
	_, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended(CAST(? AS text), 0))",
		"deployhook/migrate "+tx.db.Text(m.Versions))
	return err
}

// createSchema first checks whether the schema exists, because CREATE SCHEMA IF
// NOT EXISTS needs the right even then.
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

// statements returns all statements of one step.
func (db *DB) statements(m Module, version int) []string {
	var all []string
	if version == 1 && m.First != "" {
		all = append(all, db.Text(m.First))
	}
	for _, statement := range m.Steps[version-1] {
		if !m.Raw {
			statement = db.Text(db.dialect.types(statement))
		}
		if strings.TrimSpace(statement) == "" {
			continue
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
// current. It only reads.
func (db *DB) CheckVersions(ctx context.Context, plan Plan) error {
	for _, m := range plan.Modules {
		version, err := db.readVersion(ctx, m)
		if err != nil {
			return fmt.Errorf("reading the version of the tables of %s: %w", m.Name, db.explain(err))
		}
		if version < len(m.Steps) {
			return ConfigErrorf("WithoutMigration: the tables of %s have version %d, but need version %d; let a role that may change "+
				"tables run Migrate, or the SQL of Migrations", m.Name, version, len(m.Steps))
		}
	}
	return nil
}

// version returns 0 if there are no tables. A version of a later release is an
// error, because its rules are unknown.
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
		return 0, ConfigErrorf("the database belongs to another module; use a separate file or schema for each")
	}
	if err := q.QueryRow(ctx, m.Read).Scan(&version); err != nil {
		return 0, err
	}
	if version > len(m.Steps) && !m.AcceptsNewer {
		return 0, ConfigErrorf("the tables of %s have version %d, but this release supports up to version %d; use the later release", m.Name, version, len(m.Steps))
	}
	return version, nil
}

// tableExists looks for a table by its name in statements.
func (db *DB) tableExists(ctx context.Context, q Querier, table string) (there bool, err error) {
	if db.dialect == SQLite {
		err = q.QueryRow(ctx, "SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ? COLLATE NOCASE",
			strings.Trim(table, `"`)).Scan(&there)
		return there, err
	}
	// The query of pg_class makes the connection learn about changes by other
	// connections since its last query. A lock on a table does the same, but an
	// advisory lock does not. to_regclass alone may answer from its cache.
	err = q.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass(CAST(? AS text)))", table).Scan(&there)
	return there, err
}
