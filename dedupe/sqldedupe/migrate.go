package sqldedupe

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
)

// Migration is one step of the schema. Its statements belong in one transaction; the last of them records the version.
type Migration struct {
	// Version is the schema's version after the step, from 1.
	Version int
	// Statements are the step, in order.
	Statements []string
}

// Migrations returns all steps of the schema, in order, for those who make it with a tool of their own; then use
// [WithoutMigration]. The empty table stands for [DefaultTable].
func Migrations(d Dialect, table string) ([]Migration, error) {
	n, err := newNames(d, table)
	if err != nil {
		return nil, err
	}
	return migrations(d, n), nil
}

// Migrate makes the table, or brings it up to date. It does nothing if that has been done, and any number of processes may
// do it at the same time. The empty table stands for [DefaultTable]. The constructors do this unless [WithoutMigration] is
// set; call it to let a role do it that may change schemas, which the one that claims then need not.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, table string) error {
	n, err := newNames(d, table)
	if err != nil {
		return err
	}
	if db == nil {
		return fmt.Errorf("%w: Migrate: the database is nil", ErrConfig)
	}
	if d == SQLite {
		if err := waitForSQLite(ctx, db); err != nil {
			return fmt.Errorf("sqldedupe: Migrate: %w", withoutDSN(err))
		}
	}
	if err := migrate(ctx, db, d, n, migrations(d, n)); err != nil {
		return fmt.Errorf("sqldedupe: Migrate: %w", withoutDSN(err))
	}
	return nil
}

// steps are the schema's versions. One that has been released is never changed; a new one is added.
func steps(d Dialect) [][]string {
	if d == Postgres {
		return [][]string{{
			// Completing a claim changes no indexed column, and a third of each page is kept for the new versions of its rows: so
			// they stay in their page, and no index is written. completed_by is the token that completed the key; until expires, that
			// or the claim is in force. At sweep the row is looked at to see whether it is over: not before a TTL after the lease.
			`CREATE TABLE {table} (key bytea PRIMARY KEY, token bigint NOT NULL, completed_by bigint, expires timestamptz NOT NULL, sweep timestamptz NOT NULL) WITH (fillfactor = 70)`,
			`CREATE INDEX {index} ON {table} (sweep)`,
			// Without a cache, which would hand out tokens to connections in advance and so out of order.
			`CREATE SEQUENCE {sequence} AS bigint CACHE 1 OWNED BY {table}.token`,
			`CREATE TABLE {schema} (version integer NOT NULL)`,
			`INSERT INTO {schema} (version) VALUES (1)`,
		}}
	}
	return [][]string{{
		`CREATE TABLE {table} (key BLOB PRIMARY KEY, token INTEGER NOT NULL, completed_by INTEGER, expires INTEGER NOT NULL, sweep INTEGER NOT NULL) WITHOUT ROWID`,
		`CREATE INDEX {index} ON {table} (sweep)`,
		`CREATE TABLE {schema} (version INTEGER NOT NULL, floor INTEGER NOT NULL)`,
		// New rows get tokens above the floor, and whoever deletes a row raises it.
		`CREATE TRIGGER {trigger} AFTER DELETE ON {table} BEGIN UPDATE {schema} SET floor = OLD.token WHERE floor < OLD.token; END`,
		`INSERT INTO {schema} (version, floor) VALUES (1, 0)`,
	}}
}

func migrations(d Dialect, n names) []Migration {
	var all []Migration
	for i, step := range steps(d) {
		m := Migration{Version: i + 1}
		for _, statement := range step {
			m.Statements = append(m.Statements, n.expand(statement))
		}
		all = append(all, m)
	}
	return all
}

// prepareSchema makes the schema or checks that it is there.
func prepareSchema(ctx context.Context, db *sql.DB, d Dialect, n names, c config) error {
	all := migrations(d, n)
	if !c.noMigration {
		return migrate(ctx, db, d, n, all)
	}
	version, err := schemaVersion(ctx, db, d, n)
	if err == nil && version < len(all) {
		err = fmt.Errorf("%w: WithoutMigration: the schema of table %s has version %d, and %d is needed; see Migrate", ErrConfig, n.table, version, len(all))
	}
	return err
}

// migrate looks first, so that a schema that is current needs neither a lock nor the right to change it.
func migrate(ctx context.Context, db *sql.DB, d Dialect, n names, all []Migration) error {
	version, err := schemaVersion(ctx, db, d, n)
	if err != nil || version >= len(all) {
		return err
	}
	return exclusively(ctx, db, d, n, func(conn *sql.Conn) error {
		version, err := schemaVersion(ctx, conn, d, n) // another may have done it
		if err != nil {
			return err
		}
		for _, m := range all[min(version, len(all)):] {
			for _, statement := range m.Statements {
				if _, err := conn.ExecContext(ctx, statement); err != nil {
					return fmt.Errorf("version %d: %w", m.Version, err)
				}
			}
		}
		return nil
	})
}

// exclusively runs f in a transaction that no other migration of the table runs beside.
func exclusively(ctx context.Context, db *sql.DB, d Dialect, n names, f func(*sql.Conn) error) (err error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	// SQLite's transactions must begin with the lock; in PostgreSQL a statement must see what others have committed before it.
	begin := "BEGIN IMMEDIATE"
	if d == Postgres {
		begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	}
	if _, err := conn.ExecContext(ctx, begin); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			// The context may have ended; the connection must not go back with a transaction open.
			owed, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
			defer cancel()
			if _, failed := conn.ExecContext(owed, "ROLLBACK"); failed != nil {
				_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // closes it
			}
		}
	}()
	if d == Postgres {
		if _, err := conn.ExecContext(ctx, "SELECT pg_advisory_xact_lock(hashtextextended($1::text, 0))", n.lock); err != nil {
			return err
		}
	}
	if err := f(conn); err != nil {
		return err
	}
	_, err = conn.ExecContext(ctx, "COMMIT")
	return err
}

// schemaVersion is 0 where there is no schema. A version from the future is an error: its rules are not known.
func schemaVersion(ctx context.Context, q querier, d Dialect, n names) (int, error) {
	// Asking pg_class has the connection learn what others have made since it last looked, as a lock on a table does and
	// an advisory lock does not: to_regclass by itself may answer from its cache that there is nothing.
	exists, args := `SELECT EXISTS (SELECT FROM pg_catalog.pg_class WHERE oid = to_regclass($1::text))`, []any{n.schema}
	if d == SQLite {
		exists, args = `SELECT count(*) > 0 FROM sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE`, []any{n.schema[1 : len(n.schema)-1]}
	}
	var there bool
	if _, err := (within{q}).one(ctx, &statement{text: exists}, args, &there); err != nil || !there {
		return 0, err
	}
	var version int
	if _, err := (within{q}).one(ctx, &statement{text: n.expand("SELECT version FROM {schema}")}, nil, &version); err != nil {
		return 0, err
	}
	if newest := len(steps(d)); version > newest {
		return 0, fmt.Errorf("%w: the schema of table %s has version %d, newer than the %d that this version of the package knows; update the package",
			ErrConfig, n.table, version, newest)
	}
	return version, nil
}
