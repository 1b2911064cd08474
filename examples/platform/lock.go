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

// errSecond: what a platform finds unfinished at its start it takes for the remains of one that was killed, and tells customers that it
// was cancelled. So there is one platform on a database at a time, and a second one does not start.
var errSecond = errors.New("another platform runs on this database; stop it first, or give this one a database of its own")

// waiting is logged once, before a platform waits for the lock.
const waiting = "another platform runs on this database; waiting for it to end"

// lockFile takes a lock on a file beside the database, which ends with release or with the process, however that ends. The lock is
// SQLite's own, since that works on every system. The platform before may take
// wait to end, so that the next can be started while it stops.
func lockFile(ctx context.Context, path string, wait time.Duration, logger *slog.Logger) (release func(), err error) {
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path}).String())
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx) // one connection holds the transaction, and with it the lock
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
	return func() {
		_ = conn.Close()
		_ = db.Close()
	}, nil
}

// busy reports SQLite's own word for a lock that another process has.
func busy(err error) bool {
	var failed *sqlite.Error
	return errors.As(err, &failed) && failed.Code()&0xff == 5 // SQLITE_BUSY
}

// lockNumber is what the lock is known by within a PostgreSQL database.
const lockNumber = 0x6465706c6f79 // "deploy"

// unlockTimeout bounds saying goodbye to the server.
const unlockTimeout = 5 * time.Second

// lockPostgres takes a lock that lasts as long as its connection.
func lockPostgres(ctx context.Context, cfg *pgx.ConnConfig, wait time.Duration, logger *slog.Logger) (release func(), err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	release = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), unlockTimeout)
		defer cancel()
		_ = conn.Close(ctx)
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
			release()
			return nil, err
		}
		if !said {
			said = true
			logger.Info(waiting, "for", wait)
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
}
