package riverdb

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
)

// Step is one version of a module's tables: statements that bring the version before to this one. A step that has been
// released must never change. `{blob}` stands for the type of bytes and `{id}` for that of a generated integer primary key.
type Step []string

// migrateAttempts is how often a migration is tried. Processes that start together get into each other's way, each time for
// one of River's versions at most.
const migrateAttempts = 12

// Migrate creates or updates River's tables, and those of the module that name stands for: the steps that it has not had yet, in
// their order, in one transaction. Any number of processes may call it at once. On SQLite a file has one module: another
// name is an error that wraps [ErrConfig], as is a database that has more steps than are given, since a later release
// has written to it.
func (db *DB) Migrate(ctx context.Context, name string, steps []Step) error {
	var err error
	for attempt := range migrateAttempts {
		if err = db.migrate(ctx, name, steps); err == nil || errors.Is(err, ErrConfig) {
			return err
		}
		pause := time.Duration(attempt+1) * (10*time.Millisecond + rand.N(20*time.Millisecond))
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), err)
		case <-time.After(pause):
		}
	}
	return err
}

func (db *DB) migrate(ctx context.Context, name string, steps []Step) error {
	if db.dialect == Postgres {
		if err := db.createSchema(ctx); err != nil {
			return err
		}
	}
	// Ours come first: the check that the file is this module's must precede any change to River's tables.
	if err := db.InTx(ctx, func(ctx context.Context, tx *Tx) error { return db.migrateOurs(ctx, tx, name, steps) }); err != nil {
		return fmt.Errorf("riverdb: migrating the tables of %s: %w", name, err)
	}
	if err := db.migrateRiver(ctx); err != nil {
		return fmt.Errorf("riverdb: migrating River's tables: %w", err)
	}
	return nil
}

// createSchema asks first: CREATE SCHEMA IF NOT EXISTS needs the privilege even where the schema is there.
func (db *DB) createSchema(ctx context.Context) error {
	var there int64
	err := db.QueryRow(ctx, "SELECT count(*) FROM pg_namespace WHERE nspname = ?", db.name).Scan(&there)
	if err != nil {
		return fmt.Errorf("riverdb: looking for schema %s: %w", db.name, err)
	}
	if there > 0 {
		return nil
	}
	if _, err := db.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS "`+db.name+`"`); err != nil {
		if postgresCode(err) == "42501" {
			return fmt.Errorf("%w: the role may not create the schema %s: %w; create it as an administrator: "+
				"CREATE SCHEMA %s AUTHORIZATION the_role", ErrConfig, db.name, err, db.name)
		}
		return fmt.Errorf("riverdb: creating schema %s: %w", db.name, err)
	}
	return nil
}

func (db *DB) migrateOurs(ctx context.Context, tx *Tx, name string, steps []Step) error {
	const create = `CREATE TABLE IF NOT EXISTS {schema}deployhook_migration (
		module text NOT NULL, version bigint NOT NULL, applied_at bigint NOT NULL, PRIMARY KEY (module, version))`
	if _, err := tx.Exec(ctx, create); err != nil {
		return err
	}
	if err := db.lockMigration(ctx, tx); err != nil {
		return err
	}
	var other int64
	err := tx.QueryRow(ctx, "SELECT count(*) FROM {schema}deployhook_migration WHERE module <> ?", name).Scan(&other)
	if err != nil {
		return err
	}
	if other > 0 {
		return fmt.Errorf("%w: the database is another module's; give each a file, or a schema, of its own", ErrConfig)
	}
	var have int
	err = tx.QueryRow(ctx, "SELECT count(*) FROM {schema}deployhook_migration WHERE module = ?", name).Scan(&have)
	if err != nil {
		return err
	}
	if have > len(steps) {
		return fmt.Errorf("%w: the database is at version %d, and this release knows %d; use the later release", ErrConfig, have, len(steps))
	}
	for i := have; i < len(steps); i++ {
		if err := db.apply(ctx, tx, name, i+1, steps[i]); err != nil {
			return fmt.Errorf("version %d: %w", i+1, err)
		}
	}
	return nil
}

// lockMigration lets one process at a time past. SQLite's transactions exclude each other as they are.
func (db *DB) lockMigration(ctx context.Context, tx *Tx) error {
	if db.dialect == SQLite {
		return nil
	}
	_, err := tx.Exec(ctx, "LOCK TABLE {schema}deployhook_migration IN EXCLUSIVE MODE")
	return err
}

func (db *DB) apply(ctx context.Context, tx *Tx, name string, version int, step Step) error {
	for _, statement := range step {
		if _, err := tx.Exec(ctx, db.types(statement)); err != nil {
			return err
		}
	}
	_, err := tx.Exec(ctx, "INSERT INTO {schema}deployhook_migration (module, version, applied_at) VALUES (?, ?, ?)",
		name, version, time.Now().UnixMicro())
	return err
}

func (db *DB) migrateRiver(ctx context.Context) error {
	if db.dialect == SQLite {
		return runMigrator(ctx, riversqlite.New(db.lite), "")
	}
	return runMigrator(ctx, riverpgxv5.New(db.pool), db.name)
}

func runMigrator[T any](ctx context.Context, driver riverdriver.Driver[T], schema string) error {
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: schema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
	return err
}
