package sqldedupe

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/deployhook/deployhook/internal/sqldb"
)

type (
	// Dialect is the SQL dialect of a database.
	Dialect = sqldb.Dialect
	// Migration is the SQL for one version of the tables. Run its statements in
	// one transaction. The last one records the version.
	Migration = sqldb.Migration
)

// The supported dialects.
const (
	Postgres = sqldb.Postgres
	SQLite   = sqldb.SQLite
)

// Migrate creates or updates the tables. It does nothing if they are current,
// and any number of processes may call it at once. The constructors do the
// same, unless [WithoutMigration] is given. Call Migrate with a role that may
// change the schema, so that the service's role need not. Only the option
// [WithTable] has an effect.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, opts ...Option) error {
	_, n, err := configure("Migrate", d, db, opts)
	if err != nil {
		return err
	}
	if d == SQLite {
		if err := sqldb.FirstConnection(ctx, db); err != nil {
			return opened("Migrate", err)
		}
	}
	return opened("Migrate", sqldb.New(db, d, "").Migrate(ctx, plan(d, n)))
}

// Migrations returns the steps of [Migrate] in order, for a database
// administrator or a migration tool. Only the option [WithTable] has an effect.
func Migrations(d Dialect, opts ...Option) ([]Migration, error) {
	c, err := newConfig("Migrations", opts)
	if err != nil {
		return nil, err
	}
	n, err := newNames(d, c.table)
	if err != nil {
		return nil, err
	}
	return sqldb.New(nil, d, "").Migrations(plan(d, n)), nil
}

// steps lists the versions of the tables. A released version never changes.
func steps(d Dialect) []sqldb.Step {
	if d == Postgres {
		return []sqldb.Step{{
			// Completing a claim changes no indexed column, and a third of each
			// page stays free for new versions of its rows. The new versions
			// therefore stay in the same page, and PostgreSQL writes no index.
			// completed_by is the token that completed the key. The claim or
			// the completion is valid until expires. At sweep, pruning checks
			// whether the row has expired. That is at least a TTL after the end
			// of the lease.
			`CREATE TABLE {table} (key bytea PRIMARY KEY, token bigint NOT NULL, completed_by bigint, expires timestamptz NOT NULL, sweep timestamptz NOT NULL) WITH (fillfactor = 70)`,
			`CREATE INDEX {index} ON {table} (sweep)`,
			// A cache would reserve tokens for each connection in advance, so
			// that they would be out of order.
			`CREATE SEQUENCE {sequence} AS bigint CACHE 1 OWNED BY {table}.token`,
			// The first token is the time, as in the stores in memory and in
			// Redis. Tokens therefore keep increasing if a service moves from
			// another store to this one, or recreates its tables.
			`SELECT setval('{sequence}', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`,
		}}
	}
	return []sqldb.Step{{
		`CREATE TABLE {table} (key BLOB PRIMARY KEY, token INTEGER NOT NULL, completed_by INTEGER, expires INTEGER NOT NULL, sweep INTEGER NOT NULL) WITHOUT ROWID`,
		`CREATE INDEX {index} ON {table} (sweep)`,
		`CREATE TABLE {floor} (floor INTEGER NOT NULL)`,
		`INSERT INTO {floor} (floor) VALUES (CAST(unixepoch('subsec') * 1000000 AS INTEGER))`,
		// New rows get tokens above the floor, and deleting a row raises the
		// floor.
		`CREATE TRIGGER {trigger} AFTER DELETE ON {table} BEGIN UPDATE {floor} SET floor = OLD.token WHERE floor < OLD.token; END`,
	}}
}

func plan(d Dialect, n names) sqldb.Plan {
	all := steps(d)
	for _, step := range all {
		for i := range step {
			step[i] = n.expand(step[i])
		}
	}
	return sqldb.Plan{Modules: []sqldb.Module{sqldb.NewModule("dedupe", n.versions, all)}}
}

// prepareSchema creates the tables, or checks that they exist.
func prepareSchema(ctx context.Context, db *sql.DB, d Dialect, n names, c config) error {
	if c.noMigration {
		return sqldb.New(db, d, "").CheckVersions(ctx, plan(d, n))
	}
	return sqldb.New(db, d, "").Migrate(ctx, plan(d, n))
}

// opened wraps an error of opening the database.
func opened(constructor string, err error) error {
	if err == nil {
		return nil
	}
	return sqldb.WithSentinel(ErrConfig, "sqldedupe", fmt.Errorf("%s: %w", constructor, sqldb.HideDSN(err)))
}
