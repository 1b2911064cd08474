package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// rollbackTimeout bounds a rollback, which must also run after the transaction's
// own context has ended.
const rollbackTimeout = 5 * time.Second

// querier is Querier under a name that keeps it unexported where it is embedded.
type querier = Querier

// Tx is an open transaction, for one goroutine.
type Tx struct {
	querier

	db   *DB
	sql  *sql.Tx
	conn *sql.Conn // on which a SQLite transaction was begun by a statement
	pgx  pgx.Tx
}

// SQL returns the transaction as database/sql's. It is nil for pgx's, and on
// SQLite for a transaction that [New] made the database of.
func (tx *Tx) SQL() *sql.Tx { return tx.sql }

// Pgx returns the transaction as pgx's. It is nil for database/sql's.
func (tx *Tx) Pgx() pgx.Tx { return tx.pgx }

// InTx runs f in a transaction and commits it if f returns nil. After an error or
// a panic it is rolled back. f must not keep tx, and on SQLite it must not use db.
//
// On PostgreSQL the isolation is READ COMMITTED whatever the database's default
// is, so that a statement that waited for a lock sees what the holder committed.
// On SQLite the transaction begins with the lock on the file. One that read first
// and finds that another process wrote meanwhile could not go on.
func (db *DB) InTx(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	if db.writer != nil {
		select { // writers of this process wait here, where it costs nothing, and in order
		case db.writer <- struct{}{}:
			defer func() { <-db.writer }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			tx.rollback(ctx)
		}
		if tx.conn != nil {
			_ = tx.conn.Close()
		}
	}()
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return fmt.Errorf("committing a transaction: %w", err)
	}
	committed = true
	return nil
}

func (db *DB) begin(ctx context.Context) (*Tx, error) {
	switch {
	case db.pool != nil:
		tx, err := db.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
		if err != nil {
			return nil, err
		}
		return db.wrapPgx(tx), nil
	case db.writer != nil:
		return db.beginImmediate(ctx)
	}
	isolation := sql.LevelDefault
	if db.dialect == Postgres {
		isolation = sql.LevelReadCommitted
	}
	tx, err := db.sql.BeginTx(ctx, &sql.TxOptions{Isolation: isolation})
	if err != nil {
		return nil, err
	}
	return db.wrapSQL(tx), nil
}

// beginImmediate takes SQLite's write lock at once. It waits for other processes'
// writers until ctx ends.
func (db *DB) beginImmediate(ctx context.Context) (*Tx, error) {
	var conn *sql.Conn
	err := WhileBusy(ctx, func() (err error) {
		conn, err = db.sql.Conn(ctx) // a new connection may have to switch to write-ahead logging
		return err
	})
	if err != nil {
		return nil, err
	}
	tx := &Tx{querier: sqlQuerier{conn, db}, db: db, conn: conn}
	err = WhileBusy(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
	if err != nil {
		if ctx.Err() != nil { // it may have begun nevertheless
			tx.rollback(ctx)
		}
		return nil, errors.Join(err, conn.Close())
	}
	return tx, nil
}

// Wrap makes the caller's own transaction usable here: a *sql.Tx or a pgx.Tx on
// the same database. A *Tx is returned as it is. Anything else is an error that
// wraps [ErrTx]. The caller still commits it or rolls it back.
func (db *DB) Wrap(tx any) (*Tx, error) {
	switch own := tx.(type) {
	case *Tx:
		if own != nil && own.db == db {
			return own, nil
		}
		return nil, fmt.Errorf("%w: it belongs to another database handle", ErrTx)
	case *sql.Tx:
		if own != nil {
			return db.wrapSQL(own), nil
		}
	case pgx.Tx:
		if own != nil && db.dialect == Postgres {
			return db.wrapPgx(own), nil
		}
	}
	want := "a *sql.Tx on the same SQLite file"
	if db.dialect == Postgres {
		want = "a pgx.Tx or a *sql.Tx on the same PostgreSQL database"
	}
	return nil, fmt.Errorf("%w: it must be %s, not nil, and is %T", ErrTx, want, tx)
}

func (db *DB) wrapSQL(tx *sql.Tx) *Tx { return &Tx{querier: sqlQuerier{tx, db}, db: db, sql: tx} }

func (db *DB) wrapPgx(tx pgx.Tx) *Tx { return &Tx{querier: pgxQuerier{tx, db}, db: db, pgx: tx} }

func (tx *Tx) commit(ctx context.Context) error {
	switch {
	case tx.pgx != nil:
		return tx.pgx.Commit(ctx)
	case tx.sql != nil:
		return tx.sql.Commit()
	}
	if err := ctx.Err(); err != nil { // SQLite may have ended the transaction by itself
		return err
	}
	// A commit that has begun is not interrupted: its outcome would not be known.
	_, err := tx.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	return err
}

// rollback reports nothing. If it fails, the connection is closed, which ends the
// transaction, too.
func (tx *Tx) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	switch {
	case tx.pgx != nil:
		_ = tx.pgx.Rollback(ctx)
	case tx.sql != nil:
		_ = tx.sql.Rollback()
	default:
		// An interrupted write makes SQLite end the transaction by itself. The
		// connection is given up only if it may still have one. A database in
		// memory would be lost with it.
		_, err := tx.conn.ExecContext(ctx, "ROLLBACK")
		if err != nil && !strings.Contains(err.Error(), "no transaction is active") {
			_ = tx.conn.Raw(func(any) error { return driver.ErrBadConn })
		}
	}
}

// script runs SQL text as it is. It may have several statements and no parameters.
func (tx *Tx) script(ctx context.Context, text string) error {
	return tx.querier.(interface {
		script(ctx context.Context, text string) error
	}).script(ctx, text)
}
