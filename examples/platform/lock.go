package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5"
	"modernc.org/sqlite"
)

// errSecond: what a platform finds unfinished at its start it takes for the remains of one that was killed, and tells customers that it
// was cancelled. So there is one platform on a database at a time, and a second one does not start.
var errSecond = errors.New("another platform runs on this database; stop it first, or give this one a database of its own")

// lockWait is how long a platform waits for the one before to end, so that the next can be started while it stops.
const lockWait = 5 * time.Second

// lockFile takes a lock on a file beside the database, which ends with release or with the process, however that ends. The lock is
// SQLite's own, since that works on every system.
func lockFile(ctx context.Context, path string) (release func(), err error) {
	q := url.Values{"_pragma": {fmt.Sprintf("busy_timeout(%d)", lockWait.Milliseconds())}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	conn, err := db.Conn(ctx) // one connection holds the transaction, and with it the lock
	if err == nil {
		_, err = conn.ExecContext(ctx, "BEGIN EXCLUSIVE")
	}
	var failed *sqlite.Error
	if errors.As(err, &failed) && failed.Code()&0xff == 5 { // SQLITE_BUSY
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

// lockNumber is what the lock is known by within a PostgreSQL database.
const lockNumber = 0x6465706c6f79 // "deploy"

// lockPostgres takes a lock that lasts as long as its connection.
func lockPostgres(ctx context.Context, cfg *pgx.ConnConfig) (release func(), err error) {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, err
	}
	release = func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockWait)
		defer cancel()
		_ = conn.Close(ctx)
	}
	for end := time.Now().Add(lockWait); ; {
		var mine bool
		if err = conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", int64(lockNumber)).Scan(&mine); err == nil && mine {
			return release, nil
		}
		if err == nil && time.Now().After(end) {
			err = errSecond
		}
		if err != nil {
			release()
			return nil, err
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			release()
			return nil, ctx.Err()
		}
	}
}
