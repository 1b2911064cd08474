package sqlledger

import (
	"context"
	"database/sql"

	"github.com/deployhook/deployhook/internal/sqldb"
)

type (
	// Dialect is the SQL dialect of a database.
	Dialect = sqldb.Dialect
	// Migration is one step of the tables as SQL. Run its statements in one
	// transaction. The last statement records the version.
	Migration = sqldb.Migration
)

// The dialects.
const (
	Postgres = sqldb.Postgres
	SQLite   = sqldb.SQLite
)

// Migrate creates or updates the tables. It does nothing if they are current.
// Several processes may call it at once. The constructors also migrate, unless
// [WithoutMigration] is set. Call Migrate with a role that may change the
// schema. The service's role then does not need that right. Only the option
// [WithTablePrefix] has an effect.
func Migrate(ctx context.Context, db *sql.DB, d Dialect, opts ...Option) error {
	c, err := configure(d, db, opts)
	if err != nil {
		return err
	}
	if d == SQLite {
		if err := sqldb.FirstConnection(ctx, db); err != nil {
			return opened(err)
		}
	}
	return opened(sqldb.New(db, d, c.prefix).Migrate(ctx, plan()))
}

// Migrations returns the steps of [Migrate] in order, for a database
// administrator or a migration tool. Only the option [WithTablePrefix] has an
// effect.
func Migrations(d Dialect, opts ...Option) ([]Migration, error) {
	c, err := newConfig(opts)
	if err == nil {
		err = checkDialect(d)
	}
	if err != nil {
		return nil, err
	}
	return sqldb.New(nil, d, c.prefix).Migrations(plan()), nil
}

// steps has the versions of the tables. Released steps never change.
//
// The column scope is the hash of service and environment. An index row with
// both names could exceed PostgreSQL's limit.
var steps = []sqldb.Step{{
	`CREATE TABLE {schema}organizations (
		organization {blob} NOT NULL PRIMARY KEY,
		last_id bigint NOT NULL
	)`,
	`CREATE TABLE {schema}deployments (
		organization {blob} NOT NULL,
		id bigint NOT NULL,
		deployment_id {blob} NOT NULL,
		service {blob} NOT NULL,
		environment {blob} NOT NULL,
		scope {blob} NOT NULL,
		status {text} NOT NULL,
		started_at bigint NOT NULL,
		position_at bigint NOT NULL,
		succeeded_at bigint,
		rolled_back_at bigint,
		document {blob} NOT NULL,
		reports {blob} NOT NULL,
		previous_given boolean NOT NULL,
		previous_commits {blob} NOT NULL,
		linked boolean NOT NULL,
		linked_prs bigint NOT NULL,
		recorded_at bigint NOT NULL,
		updated_at bigint NOT NULL,
		PRIMARY KEY (organization, id),
		UNIQUE (organization, deployment_id)
	)`,
	`CREATE TABLE {schema}runs (
		organization {blob} NOT NULL,
		deployment_id {blob} NOT NULL,
		scope {blob} NOT NULL,
		run_at bigint NOT NULL,
		run {blob} NOT NULL,
		PRIMARY KEY (organization, deployment_id)
	)`,
	`CREATE INDEX {schema}runs_place ON {schema}runs (organization, scope, run_at, deployment_id)`,
	`CREATE TABLE {schema}scopes (
		organization {blob} NOT NULL,
		scope {blob} NOT NULL,
		service {blob} NOT NULL,
		environment {blob} NOT NULL,
		PRIMARY KEY (organization, scope)
	)`,
	`CREATE TABLE {schema}incidents (
		organization {blob} NOT NULL,
		incident_id {blob} NOT NULL,
		opened_at bigint NOT NULL,
		document {blob} NOT NULL,
		reports {blob} NOT NULL,
		recorded_at bigint NOT NULL,
		updated_at bigint NOT NULL,
		PRIMARY KEY (organization, incident_id)
	)`,
	`CREATE INDEX {schema}incidents_opened ON {schema}incidents (organization, opened_at, incident_id)`,
	`CREATE INDEX {schema}deployments_place ON {schema}deployments (organization, scope, position_at, deployment_id)`,
	`CREATE INDEX {schema}deployments_live ON {schema}deployments (organization, scope, position_at, deployment_id) WHERE succeeded_at IS NOT NULL`,
}}

func plan() sqldb.Plan {
	return sqldb.Plan{Modules: []sqldb.Module{sqldb.NewModule("ledger", "{schema}version", steps)}}
}

// prepareSchema creates the tables or checks that they exist.
func (l *Ledger) prepareSchema(ctx context.Context, c config) error {
	if c.noMigrate {
		return sqldb.WhileBusy(ctx, func() error { return l.db.CheckVersions(ctx, plan()) })
	}
	return sqldb.WhileBusy(ctx, func() error { return l.db.Migrate(ctx, plan()) })
}
