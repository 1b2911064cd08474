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
	_ "modernc.org/sqlite" // driver for the SQLite file

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

var (
	// errNotFound is returned if there is no such record.
	errNotFound = errors.New("not found")
	// errTaken is returned if an app has a token of the same name.
	errTaken = errors.New("the app has a token with this name already; delete it first")
)

// store keeps the records of deployments in the outbox's database. A record and
// its event are therefore committed together. Only store knows which database
// is used.
type store struct {
	lite *sql.DB
	pool *pgxpool.Pool
}

// schema has tables with the record as JSON and the columns for queries.
// Identifiers sort in the order of their creation.
var schema = [...]string{
	`CREATE TABLE IF NOT EXISTS platform_deployments (
		id TEXT PRIMARY KEY, app TEXT NOT NULL, status TEXT NOT NULL, step TEXT NOT NULL, record TEXT NOT NULL
	)`,
	`CREATE INDEX IF NOT EXISTS platform_deployments_app ON platform_deployments (app, id)`,
	`CREATE TABLE IF NOT EXISTS platform_tokens (
		app TEXT NOT NULL, name TEXT NOT NULL, hash TEXT NOT NULL UNIQUE, record TEXT NOT NULL, PRIMARY KEY (app, name)
	)`,
}

// liteURL returns the URL of the platform's own connection to the outbox's
// file. Transactions take the write lock at their start, as App.PublishTx
// requires.
func liteURL(path string) string {
	q := url.Values{"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)"}, "_txlock": {"immediate"}}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

func openStore(ctx context.Context, s *store) (*store, error) {
	for _, statement := range schema {
		if _, err := s.exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (s *store) close() (err error) {
	if s.lite != nil {
		err = s.lite.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	return err
}

// exec runs a statement and returns the number of changed rows.
func (s *store) exec(ctx context.Context, query string, args ...any) (int64, error) {
	if s.pool != nil {
		tag, err := s.pool.Exec(ctx, query, args...)
		return tag.RowsAffected(), err
	}
	result, err := s.lite.ExecContext(ctx, lite(query), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

// appTx is a transaction on one of the two databases.
type appTx struct {
	exec execFunc
	// publish is App.PublishTx or App.PublishPgxTx.
	publish func(app *outbox.App, event *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error)
}

type execFunc func(query string, args ...any) error

// inTx runs work in a transaction.
func (s *store) inTx(ctx context.Context, work func(tx appTx) error) error {
	if s.pool != nil {
		return pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
			return work(appTx{
				func(query string, args ...any) error { _, err := tx.Exec(ctx, query, args...); return err },
				func(app *outbox.App, event *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error) {
					return app.PublishPgxTx(ctx, tx, event, opts...)
				},
			})
		})
	}
	tx, err := s.lite.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	err = work(appTx{
		func(query string, args ...any) error { _, err := tx.ExecContext(ctx, lite(query), args...); return err },
		func(app *outbox.App, event *payload.Event, opts ...outbox.PublishOption) (outbox.Publication, error) {
			return app.PublishTx(ctx, tx, event, opts...)
		},
	})
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

var numbered = regexp.MustCompile(`\$\d+`)

// lite converts a PostgreSQL query to SQLite. Queries here use each number once
// and in order.
func lite(query string) string { return numbered.ReplaceAllString(query, "?") }

// save stores a record in a transaction.
func save(exec execFunc, d engine.Deployment) error {
	record, err := json.Marshal(d)
	if err != nil {
		return err
	}
	return exec(`INSERT INTO platform_deployments (id, app, status, step, record) VALUES ($1, $2, $3, $4, $5)
		ON CONFLICT (id) DO UPDATE SET status = excluded.status, step = excluded.step, record = excluded.record`,
		d.ID, d.App, string(d.Status), string(d.Step), string(record))
}

// query returns the records that a query selects.
func query[T any](ctx context.Context, s *store, query string, args ...any) ([]T, error) {
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
	out := make([]T, len(records))
	for i, record := range records {
		if err := json.Unmarshal([]byte(record), &out[i]); err != nil {
			return nil, fmt.Errorf("decode a record: %w", err)
		}
	}
	return out, nil
}

// one returns the only record that a query selects, or errNotFound.
func one[T any](ctx context.Context, s *store, text string, args ...any) (v T, err error) {
	found, err := query[T](ctx, s, text, args...)
	if err == nil && len(found) == 0 {
		err = errNotFound
	}
	if err != nil {
		return v, err
	}
	return found[0], nil
}

// token returns the token with a hash, or errNotFound.
func (s *store) token(ctx context.Context, hash string) (token, error) {
	return one[token](ctx, s, `SELECT record FROM platform_tokens WHERE hash = $1`, hash)
}

// addToken stores a token, or returns errTaken.
func (s *store) addToken(ctx context.Context, t token, hash string) error {
	record, err := json.Marshal(t)
	if err != nil {
		return err
	}
	n, err := s.exec(ctx, `INSERT INTO platform_tokens (app, name, hash, record) VALUES ($1, $2, $3, $4) ON CONFLICT (app, name) DO NOTHING`,
		t.App, t.Name, hash, string(record))
	if err == nil && n == 0 {
		err = errTaken
	}
	return err
}

// deleteToken deletes a token, or returns errNotFound.
func (s *store) deleteToken(ctx context.Context, app, name string) error {
	n, err := s.exec(ctx, `DELETE FROM platform_tokens WHERE app = $1 AND name = $2`, app, name)
	if err == nil && n == 0 {
		err = errNotFound
	}
	return err
}

// deployment returns one record of an app, or errNotFound.
func (s *store) deployment(ctx context.Context, app, id string) (engine.Deployment, error) {
	return one[engine.Deployment](ctx, s, `SELECT record FROM platform_deployments WHERE id = $1 AND app = $2`, id, app)
}

// deployments returns an app's records, newest first. A cursor continues after
// the record with that ID.
func (s *store) deployments(ctx context.Context, app, cursor string, limit int) ([]engine.Deployment, error) {
	if cursor == "" {
		cursor = "f" // after every ID in every collation, because IDs begin with "dep_"
	}
	return query[engine.Deployment](ctx, s, `SELECT record FROM platform_deployments WHERE app = $1 AND id < $2 ORDER BY id DESC LIMIT $3`, app, cursor, limit)
}

// unfinished returns the unfinished deployments of a platform that was killed.
func (s *store) unfinished(ctx context.Context) ([]engine.Deployment, error) {
	return query[engine.Deployment](ctx, s, `SELECT record FROM platform_deployments WHERE step <> $1 ORDER BY id`, string(engine.StepDone))
}

// successes returns the latest successful deployments of an app that were not
// rolled back, oldest first.
func (s *store) successes(ctx context.Context, app string) ([]engine.Deployment, error) {
	return query[engine.Deployment](ctx, s, `SELECT record FROM (
		SELECT id, record FROM platform_deployments WHERE app = $1 AND status = 'success' ORDER BY id DESC LIMIT 6) AS latest ORDER BY id`, app)
}
