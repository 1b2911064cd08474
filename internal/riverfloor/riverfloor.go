// Package riverfloor is River (riverqueue.com) as others use it: with its own
// migrations, all of its indexes, and its own record of the jobs that have
// ended. The benchmarks of the inbox and the outbox compare themselves with it.
// Nothing else here uses River.
package riverfloor

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// fetchCooldown is how often a client fetches at most. River's default of
// 100 ms would limit the deliveries a second.
const fetchCooldown = 10 * time.Millisecond

// Client is River's client without its type parameter.
type Client interface {
	// InsertTx inserts a job in a transaction that it opens and commits.
	InsertTx(ctx context.Context, args river.JobArgs) error
	InsertMany(ctx context.Context, params []river.InsertManyParams) ([]*rivertype.JobInsertResult, error)
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// OpenSQLite returns a client for the SQLite file at path, which it migrates.
// The file has the pragmas of our stores, and one connection that writes.
// It is closed at the end of tb. Stop the client before.
//
// The client fetches every 10 ms at most, and only kinds that it knows. It logs
// nothing.
//
// OpenSQLite skips tb on 32-bit systems, for which River has no SQLite driver.
func OpenSQLite(tb testing.TB, path string, config river.Config) Client {
	tb.Helper()
	requireSQLite(tb)
	db, err := sqldb.OpenFile(tb.Context(), path)
	require.NoError(tb, err)
	tb.Cleanup(func() { require.NoError(tb, db.Close()) })
	return newClient(tb, db, sqliteDriver(db.SQL()), (*sqldb.Tx).SQL, config)
}

// OpenPostgres is [OpenSQLite] for a schema of a PostgreSQL database. It
// creates a missing schema. The pool stays the caller's.
func OpenPostgres(tb testing.TB, pool *pgxpool.Pool, schema string, config river.Config) Client {
	tb.Helper()
	_, err := pool.Exec(tb.Context(), "CREATE SCHEMA IF NOT EXISTS "+pgx.Identifier{schema}.Sanitize())
	require.NoError(tb, err)
	config.Schema = schema
	return newClient(tb, sqldb.NewPool(pool, ""), riverpgxv5.New(pool), (*sqldb.Tx).Pgx, config)
}

func newClient[T any](tb testing.TB, db *sqldb.DB, driver riverdriver.Driver[T], unwrap func(*sqldb.Tx) T, config river.Config) Client {
	tb.Helper()
	config.Logger = slog.New(slog.DiscardHandler)
	config.FetchCooldown = fetchCooldown
	config.FetchOnlyKnownKinds = true
	migrator, err := rivermigrate.New(driver, &rivermigrate.Config{Schema: config.Schema, Logger: config.Logger})
	require.NoError(tb, err)
	_, err = migrator.Migrate(tb.Context(), rivermigrate.DirectionUp, nil)
	require.NoError(tb, err)
	c, err := river.NewClient(driver, &config)
	require.NoError(tb, err)
	return &client[T]{c, db, unwrap}
}

type client[T any] struct {
	*river.Client[T]

	db     *sqldb.DB
	unwrap func(*sqldb.Tx) T
}

func (c *client[T]) InsertTx(ctx context.Context, args river.JobArgs) error {
	return c.db.InTx(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
		_, err := c.Client.InsertTx(ctx, c.unwrap(tx), args, nil)
		return err
	})
}
