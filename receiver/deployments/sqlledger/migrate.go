package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/fnv"
)

// migrations bring the tables from one version to the next; the version is the number of those that ran. What has been
// released never changes.
//
// The scope is the hash of service and environment: an index row of the two themselves could be longer than PostgreSQL takes.
var migrations = [][]string{{
	`CREATE TABLE {p}organizations (
		organization {bytes} NOT NULL PRIMARY KEY,
		last_id BIGINT NOT NULL
	)`,
	`CREATE TABLE {p}deployments (
		organization {bytes} NOT NULL,
		id BIGINT NOT NULL,
		deployment_id {bytes} NOT NULL,
		service {bytes} NOT NULL,
		environment {bytes} NOT NULL,
		scope {bytes} NOT NULL,
		status TEXT NOT NULL,
		started_at BIGINT NOT NULL,
		position_at BIGINT NOT NULL,
		document {bytes} NOT NULL,
		previous_given BOOLEAN NOT NULL,
		linked BOOLEAN NOT NULL,
		linked_prs BIGINT NOT NULL,
		recorded_at BIGINT NOT NULL,
		updated_at BIGINT NOT NULL,
		PRIMARY KEY (organization, id),
		UNIQUE (organization, deployment_id)
	)`,
	`CREATE INDEX {p}deployments_chain ON {p}deployments (organization, scope, position_at, id) WHERE status = 'success'`,
}}

// prepareSchema makes the tables what this version needs, or checks that they are.
func (l *Ledger) prepareSchema(ctx context.Context, c config) error {
	if c.noMigrate {
		var version int
		err := whileBusy(ctx, func() (err error) {
			version, err = l.version(ctx, l.db, c)
			return err
		})
		if err != nil {
			return fmt.Errorf("%w: WithoutMigration: the version could not be read; are the tables there? %w", ErrSchema, err)
		}
		if version < len(migrations) {
			return fmt.Errorf("%w: WithoutMigration: they have version %d and need %d; call the constructor once without that option", ErrSchema, version, len(migrations))
		}
		return tooNew(version)
	}
	return l.inTx(ctx, func(q querier) error {
		if err := l.lockSchema(ctx, q, c); err != nil {
			return err
		}
		version, err := l.version(ctx, q, c)
		if err != nil {
			return err
		}
		for _, m := range migrations[min(version, len(migrations)):] {
			for _, statement := range m {
				if _, err := q.ExecContext(ctx, l.dialect.text(c.prefix, statement)); err != nil {
					return fmt.Errorf("bring the tables from version %d to %d: %w", version, len(migrations), err)
				}
			}
		}
		if version < len(migrations) {
			_, err = q.ExecContext(ctx, l.dialect.text(c.prefix, `UPDATE {p}version SET version = ?`), len(migrations))
		}
		return errors.Join(err, tooNew(version))
	})
}

func tooNew(version int) error {
	if version > len(migrations) {
		return fmt.Errorf("%w: they have version %d, made by a newer version of this package, which knows %d", ErrSchema, version, len(migrations))
	}
	return nil
}

// lockSchema lets one instance at a time look at the version. SQLite's transaction is a lock by itself.
func (l *Ledger) lockSchema(ctx context.Context, q querier, c config) error {
	if l.dialect == postgres {
		h := fnv.New64a()
		h.Write([]byte("sqlledger " + c.prefix))
		// CREATE TABLE IF NOT EXISTS alone fails when two sessions run it at once.
		if _, err := q.ExecContext(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(h.Sum64())); err != nil {
			return err
		}
	}
	_, err := q.ExecContext(ctx, l.dialect.text(c.prefix, `CREATE TABLE IF NOT EXISTS {p}version (version INTEGER NOT NULL)`))
	return err
}

// version returns how many migrations ran. Where none did it makes the row, which a reader without rights to write does not get to.
func (l *Ledger) version(ctx context.Context, q querier, c config) (int, error) {
	var version int
	err := q.QueryRowContext(ctx, l.dialect.text(c.prefix, `SELECT version FROM {p}version`)).Scan(&version)
	if !errors.Is(err, sql.ErrNoRows) || c.noMigrate {
		return version, err
	}
	_, err = q.ExecContext(ctx, l.dialect.text(c.prefix, `INSERT INTO {p}version (version) VALUES (0)`))
	return 0, err
}
