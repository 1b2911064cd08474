package sqlledger_test

import (
	"context"
	"database/sql"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/ledgertest"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// Answered records survive a crash of the server, and the ledger works again
// when the server is back.
func TestPostgresIsKilled(t *testing.T) {
	t.Parallel()
	server := servicetest.StartPostgres(t)
	l := newPostgres(t, openPostgres(t, server.URL()))
	_, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
	require.NoError(t, err)
	server.Kill()
	_, err = l.Record(t.Context(), "acme", deployment("2", payload.StatusSuccess))
	require.Error(t, err)
	server.Restart()
	require.Eventually(t, func() bool { // broken connections leave the pool one by one
		_, err = l.Record(t.Context(), "acme", deployment("2", payload.StatusSuccess))
		return err == nil
	}, patience, 50*time.Millisecond)
	all, err := l.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
	require.NoError(t, err)
	require.Len(t, all.Items, 2)
}

// With a frozen server, calls end with their context.
func TestPostgresIsFrozen(t *testing.T) {
	t.Parallel()
	server := servicetest.StartPostgres(t)
	l := newPostgres(t, openPostgres(t, server.URL()))
	r, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
	require.NoError(t, err)
	server.Pause()
	for name, call := range map[string]func(context.Context) error{
		"Record":    func(ctx context.Context) error { _, err := l.Record(ctx, "acme", r.Deployment); return err },
		"SetLinked": func(ctx context.Context) error { return l.SetLinked(ctx, r.Link("acme"), 1) },
		"Get":       func(ctx context.Context) error { _, err := l.Get(ctx, "acme", "1"); return err },
		"List": func(ctx context.Context) error {
			_, err := l.List(ctx, "acme", deployments.Filter{}, deployments.Page{})
			return err
		},
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		start := time.Now()
		require.ErrorIs(t, call(ctx), context.DeadlineExceeded, name)
		require.Less(t, time.Since(start), patience, name)
		cancel()
	}
	server.Resume()
}

func TestErrorsHaveNoPassword(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]sqlledger.Option{nil, {sqlledger.WithoutMigration()}} {
		sqldbtest.HidesPasswords(t, sqlledger.ErrConfig, func(db *sql.DB) error {
			_, err := sqlledger.NewPostgres(t.Context(), db, opts...)
			return err
		})
	}
}

// A call waits for another process that writes, but not longer than its
// context.
func TestSQLiteIsLocked(t *testing.T) {
	t.Parallel()
	path := newPath(t)
	l := openSQLite(t, path)
	other, err := sql.Open("sqlite", path)
	require.NoError(t, err)
	defer other.Close()
	conn, err := other.Conn(t.Context())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.ExecContext(t.Context(), "BEGIN IMMEDIATE")
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err = l.Record(ctx, "acme", deployment("1", payload.StatusSuccess))
	require.ErrorIs(t, err, context.DeadlineExceeded)
	_, err = l.Get(t.Context(), "acme", "1")
	require.ErrorIs(t, err, deployments.ErrNotRecorded, "readers do not wait")

	done := make(chan error, 1)
	go func() {
		_, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
		done <- err
	}()
	_, err = conn.ExecContext(t.Context(), "ROLLBACK")
	require.NoError(t, err)
	require.NoError(t, <-done)
}

// Instances that start together find the file locked while one of them switches
// it to write-ahead logging.
func TestOpenSQLiteWaits(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]sqlledger.Option{nil, {sqlledger.WithoutMigration()}} {
		path := newPath(t)
		other, err := sql.Open("sqlite", path)
		require.NoError(t, err)
		defer other.Close()
		if opts != nil {
			l := openSQLite(t, path)
			require.NoError(t, l.Close())
			_, err = other.ExecContext(t.Context(), "PRAGMA journal_mode = DELETE")
			require.NoError(t, err)
		}
		conn, err := other.Conn(t.Context())
		require.NoError(t, err)
		defer conn.Close()
		_, err = conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
		require.NoError(t, err)

		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_, err = sqlledger.OpenSQLite(ctx, path, opts...)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded)

		done := make(chan error, 1)
		go func() {
			l, err := sqlledger.OpenSQLite(t.Context(), path, opts...)
			if err == nil {
				_, err = l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
				err = errors.Join(err, l.Close())
			}
			done <- err
		}()
		time.Sleep(200 * time.Millisecond) // long enough for several attempts to get the lock
		_, err = conn.ExecContext(t.Context(), "ROLLBACK")
		require.NoError(t, err)
		require.NoError(t, <-done)
	}
}

// A file with one connection and a database in memory work too.
func TestNewSQLite(t *testing.T) {
	t.Parallel()
	for _, dsn := range []string{":memory:", "file:" + newPath(t)} {
		db, err := sql.Open("sqlite", dsn)
		require.NoError(t, err)
		defer db.Close()
		db.SetMaxOpenConns(1)
		l, err := sqlledger.NewSQLite(t.Context(), db)
		require.NoError(t, err)
		ledgertest.Run(t, ledgertest.Config{New: func(testing.TB) ledgertest.Ledger { return l }, Copies: 100})
	}
}

// The ledger needs read committed and sets it, whatever the database's default
// is.
func TestPostgresWithAnotherDefaultIsolation(t *testing.T) {
	t.Parallel()
	db := newSchema(t)
	var schema string
	require.NoError(t, db.QueryRowContext(t.Context(), "SHOW search_path").Scan(&schema))
	strict := openPostgres(t, strings.Replace(poolURL(t, schema), "?", "?default_transaction_isolation=serializable&", 1))
	l := newPostgres(t, strict)
	ledgertest.Run(t, ledgertest.Config{New: func(testing.TB) ledgertest.Ledger { return l }, Copies: 200})
}

func TestOrganizationNameIsBounded(t *testing.T) {
	t.Parallel()
	l := openSQLite(t, newPath(t))
	_, err := l.Record(t.Context(), strings.Repeat("x", 1025), deployment("1", payload.StatusSuccess))
	require.ErrorContains(t, err, "1025 bytes")
	_, err = l.Record(t.Context(), strings.Repeat("x", 1024), deployment("1", payload.StatusSuccess))
	require.NoError(t, err)
}

func TestClosedLedgerFails(t *testing.T) {
	t.Parallel()
	l, err := sqlledger.OpenSQLite(t.Context(), newPath(t))
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	_, err = l.Record(t.Context(), "acme", deployment("1", payload.StatusSuccess))
	require.ErrorIs(t, err, deployments.ErrClosed)
}
