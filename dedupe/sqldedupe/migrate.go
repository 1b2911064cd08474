package sqldedupe

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/deployhook/deployhook/internal/sqldb"
)

type (
	// Dialect is a database's kind of SQL.
	Dialect = sqldb.Dialect
	// Migration is one step of the tables as SQL. Its statements belong in one
	// transaction. The last of them records the version.
	Migration = sqldb.Migration
)

// The dialects.
const (
	Postgres = sqldb.Postgres
	SQLite   = sqldb.SQLite
)

// Migrate creates the tables or updates them. It does nothing if they are
// current, and any number of processes may call it at once. The constructors do
// the same unless [WithoutMigration] is given. Call Migrate with a role that may
// change the schema, so that the role which claims need not. Of the options only
// [WithTable] matters here.
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

// Migrations returns what [Migrate] runs, in order, for a database administrator
// or a migration tool. Of the options only [WithTable] matters here.
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

// steps are the versions of the tables. A released one never changes.
func steps(d Dialect) []sqldb.Step {
	if d == Postgres {
		return []sqldb.Step{{
			// Completing a claim changes no indexed column, and a third of each page is kept for the new versions of its rows: so
			// they stay in their page, and no index is written. completed_by is the token that completed the key; until expires, that
			// or the claim is in force. At sweep the row is looked at to see whether it is over: not before a TTL after the lease.
			`CREATE TABLE {table} (key bytea PRIMARY KEY, token bigint NOT NULL, completed_by bigint, expires timestamptz NOT NULL, sweep timestamptz NOT NULL) WITH (fillfactor = 70)`,
			`CREATE INDEX {index} ON {table} (sweep)`,
			// Without a cache, which would hand out tokens to connections in advance and so out of order.
			`CREATE SEQUENCE {sequence} AS bigint CACHE 1 OWNED BY {table}.token`,
			// The first token is the time, as in the stores in memory and in Redis. So tokens keep rising when a service
			// moves from one of those to this one, or makes its tables anew.
			`SELECT setval('{sequence}', (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)`,
		}}
	}
	return []sqldb.Step{{
		`CREATE TABLE {table} (key BLOB PRIMARY KEY, token INTEGER NOT NULL, completed_by INTEGER, expires INTEGER NOT NULL, sweep INTEGER NOT NULL) WITHOUT ROWID`,
		`CREATE INDEX {index} ON {table} (sweep)`,
		`CREATE TABLE {floor} (floor INTEGER NOT NULL)`,
		`INSERT INTO {floor} (floor) VALUES (CAST(unixepoch('subsec') * 1000000 AS INTEGER))`,
		// New rows get tokens above the floor, and whoever deletes a row raises it.
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

// prepareSchema creates the tables, or checks that they are there.
func prepareSchema(ctx context.Context, db *sql.DB, d Dialect, n names, c config) error {
	if c.noMigration {
		return sqldb.New(db, d, "").CheckVersions(ctx, plan(d, n))
	}
	return sqldb.New(db, d, "").Migrate(ctx, plan(d, n))
}

// opened makes an error of opening the store's.
func opened(constructor string, err error) error {
	if err == nil {
		return nil
	}
	return sqldb.WithSentinel(ErrConfig, "sqldedupe", fmt.Errorf("%s: %w", constructor, sqldb.HideDSN(err)))
}
