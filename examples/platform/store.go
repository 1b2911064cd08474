package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	_ "modernc.org/sqlite" // the driver of the SQLite file

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
)

// errNotFound: there is no record of that ID.
var errNotFound = errors.New("not found")

// store keeps the records of deployments beside the outbox's tables, so that a record and the event that reports it are
// committed together. It is the one place that knows which database there is.
type store struct {
	lite *sql.DB
	pool *pgxpool.Pool
}

// schema is one table: the record as JSON, and what is looked for. Identifiers sort in the order they were made.
const schema = `CREATE TABLE IF NOT EXISTS platform_deployments (
	id TEXT PRIMARY KEY, app TEXT NOT NULL, status TEXT NOT NULL, step TEXT NOT NULL, record TEXT NOT NULL
)`

const schemaIndex = `CREATE INDEX IF NOT EXISTS platform_deployments_app ON platform_deployments (app, id)`

// liteURL is a connection of our own to the outbox's file: writing transactions from the start, as Outbox.PublishTx wants them.
func liteURL(path string) string {
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

func openStore(ctx context.Context, s *store) (*store, error) {
	for _, statement := range []string{schema, schemaIndex} {
		if err := s.inTx(ctx, func(_ any, exec execFunc) error { return exec(statement) }); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *store) close() {
	if s.lite != nil {
		_ = s.lite.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
}

type execFunc func(query string, args ...any) error

// inTx runs work in a transaction, which it is given in the form that Outbox.PublishTx takes.
func (s *store) inTx(ctx context.Context, work func(tx any, exec execFunc) error) error {
	if s.pool != nil {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			return work(tx, func(query string, args ...any) error { _, err := tx.Exec(ctx, query, args...); return err })
		})
	}
	tx, err := s.lite.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := work(tx, func(query string, args ...any) error { _, err := tx.ExecContext(ctx, lite(query), args...); return err }); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

var numbered = regexp.MustCompile(`\$\d+`)

// lite is a PostgreSQL query for SQLite. Queries here use each number once and in order.
func lite(query string) string { return numbered.ReplaceAllString(query, "?") }

// save stores a record within a transaction.
func save(exec execFunc, d engine.Deployment) error {
	record, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return exec(`INSERT INTO platform_deployments (id, app, status, step, record) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, step = excluded.step, record = excluded.record`,
		d.ID, d.App, string(d.Status), string(d.Step), string(record))
}

// query returns the records that a query of the column record finds.
func (s *store) query(ctx context.Context, query string, args ...any) ([]engine.Deployment, error) {
	var records []string
	if s.pool != nil {
		rows, err := s.pool.Query(ctx, query, args...)
		if err != nil {
			return nil, err
		}
		if records, err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	} else {
		rows, err := s.lite.QueryContext(ctx, lite(query), args...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		for rows.Next() {
			var record string
			if err := rows.Scan(&record); err != nil {
				return nil, err
			}
			records = append(records, record)
		}
		if err := rows.Err(); err != nil {
			return nil, err
		}
	}
	out := make([]engine.Deployment, len(records))
	for i, record := range records {
		if err := json.Unmarshal([]byte(record), &out[i]); err != nil {
			return nil, fmt.Errorf("a deployment's record: %w", err)
		}
	}
	return out, nil
}

// deployment returns one record, or errNotFound.
func (s *store) deployment(ctx context.Context, id string) (engine.Deployment, error) {
	found, err := s.query(ctx, `SELECT record FROM platform_deployments WHERE id = $1`, id)
	if err == nil && len(found) == 0 {
		err = errNotFound
	}
	if err != nil {
		return engine.Deployment{}, err
	}
	return found[0], nil
}

// deployments returns an app's, the newest first, from before the ID cursor on if it is not empty.
func (s *store) deployments(ctx context.Context, app, cursor string, limit int) ([]engine.Deployment, error) {
	if cursor == "" {
		cursor = "f" // after every ID, all of which begin with "dep_", in every collation
	}
	return s.query(ctx, `SELECT record FROM platform_deployments WHERE app = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, app, cursor, limit)
}

// unfinished returns the deployments that a platform which was killed left behind.
func (s *store) unfinished(ctx context.Context) ([]engine.Deployment, error) {
	return s.query(ctx, `SELECT record FROM platform_deployments WHERE step <> $1 ORDER BY id`, string(engine.StepDone))
}

// successes returns what was live in an app at some time and was not rolled back: the last versions, oldest first.
func (s *store) successes(ctx context.Context, app string) ([]engine.Deployment, error) {
	return s.query(ctx, `SELECT record FROM (
		SELECT id, record FROM platform_deployments WHERE app = $1 AND status = 'success' ORDER BY id DESC LIMIT 6) AS latest ORDER BY id`, app)
}
