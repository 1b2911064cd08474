package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"modernc.org/sqlite"
)

// errSecond is returned if another platform runs on the database. At its start
// a platform assumes that unfinished deployments belong to a killed platform,
// and tells customers that they were cancelled. Only one platform may therefore
// run on a database.
var errSecond = errors.New("another platform runs on this database; stop it first, or give this one another database")

// waiting is logged once before a platform waits for the lock.
const waiting = "another platform runs on this database; waiting for it to end"

// lockFile locks a file next to the database. The lock ends with release or
// with the process. It is a lock of SQLite, because that works on every system.
// lockFile waits for the previous platform to end, so the next one can be
// started while it stops.
func lockFile(ctx context.Context, path string, wait time.Duration, logger *slog.Logger) (release func() error, err error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String())
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx) // this connection holds the transaction and therefore the lock
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	if busy(err) && wait > 0 {
		logger.Info(waiting, "file", path, "for", wait)
		if _, err = conn.ExecContext(ctx, fmt.Sprintf("PRAGMA busy_timeout = %d", wait.Milliseconds())); err == nil {
			_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
		}
	}
	if busy(err) {
		err = errSecond
	}
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return func() error { return errors.Join(conn.Close(), db.Close()) }, nil
}

// busy reports whether err means that another process has the lock.
func busy(err error) bool {
	var failed *sqlite.Error
	return errors.As(err, &failed) && failed.Code()&0xff == 5 // the code of SQLITE_BUSY
}

// lockNumber identifies the lock in a PostgreSQL database.
const lockNumber = 0x6465706c6f79 // "deploy"

// unlockTimeout bounds closing the connection to the server.
const unlockTimeout = 5 * time.Second

// lockPostgres takes a lock that is held until its connection ends.
func lockPostgres(ctx context.Context, cfg *pgx.ConnConfig, wait time.Duration, logger *slog.Logger) (release func() error, err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	release = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		return conn.Close(ctx)
	}
	said := false
	for end := time.Now().Add(wait); ; {
		var mine bool
		if err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(lockNumber)).Scan(&mine); err == nil && mine {
			return release, nil
		}
		if err == nil && !time.Now().Before(end) {
			err = errSecond
		}
		if err != nil {
			return nil, errors.Join(err, release())
		}
		if !said {
			said = true
			logger.Info(waiting, "for", wait)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), release())
		}
	}
}
