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

// rollbackTimeout limits a rollback, which must also run after the
// transaction's own context has ended.
const rollbackTimeout = 5 * time.Second

// querier is an unexported name for Querier, for embedding.
type querier = Querier

// Tx is an open transaction, for one goroutine.
type Tx struct {
	querier

	db  *DB
	sql *sql.Tx
	// conn is the connection on which a statement began a SQLite transaction.
	conn *sql.Conn
	pgx  pgx.Tx
}

// SQL returns the *sql.Tx of the transaction. It is nil for a pgx transaction,
// and on SQLite for a database from [New].
func (tx *Tx) SQL() *sql.Tx { return tx.sql }

// Pgx returns the pgx.Tx of the transaction. It is nil for a database/sql
// transaction.
func (tx *Tx) Pgx() pgx.Tx { return tx.pgx }

// InTx runs f in a transaction and commits it if f returns nil. After an error
// or a panic it rolls back. f must not keep tx, and on SQLite it must not use
// db.
//
// On PostgreSQL the isolation is always READ COMMITTED. A statement that waited
// for a lock then sees the changes of the lock's holder. On SQLite the
// transaction begins with the lock on the file. Otherwise a transaction that
// reads first would fail at its first write if another process wrote in
// between.
func (db *DB) InTx(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	if db.writer != nil {
		// Writers of this process wait here, in order and at no cost.
		select {
		case db.writer <- struct{}{}:
			defer func() { <-db.writer }()
		case <-ctx.Done():
			return db.waited(ctx.Err())
		}
	}
	if err := db.identity.Check(); err != nil {
		return err
	}
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", db.waited(err))
	}
	committed := false
	defer func() {
		if !committed {
			tx.rollback(ctx)
		}
		if tx.conn != nil {
			_ = tx.conn.Close() // gives it back; an error says that it was closed before
		}
	}()
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return fmt.Errorf("committing a transaction: %w", err)
	}
	committed = true
	db.boundWAL(ctx)
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

// beginImmediate takes SQLite's write lock at once. It waits for writers of
// other processes until ctx ends.
func (db *DB) beginImmediate(ctx context.Context) (*Tx, error) {
	var conn *sql.Conn
	err := WhileBusy(ctx, func() (err error) {
		// A new connection may have to switch to write-ahead logging.
		conn, err = db.sql.Conn(ctx)
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

// WrapSQL returns a Tx for the caller's own transaction, which must be on the
// same database. The caller still commits it or rolls it back. A nil
// transaction gives an error that wraps [ErrTx]. If SQLite has ended the
// transaction on its own after an error, the error wraps [sql.ErrTxDone].
// database/sql does not notice that, and each further statement would commit
// separately.
func (db *DB) WrapSQL(ctx context.Context, tx *sql.Tx) (*Tx, error) {
	if tx == nil {
		return nil, fmt.Errorf("%w: it is nil", ErrTx)
	}
	wrapped := db.wrapSQL(tx)
	if db.dialect == SQLite {
		return wrapped, wrapped.requireOpen(ctx)
	}
	return wrapped, nil
}

// WrapPgx is [DB.WrapSQL] for a transaction of pgx's native interface. On
// SQLite the error wraps [ErrTx].
func (db *DB) WrapPgx(tx pgx.Tx) (*Tx, error) {
	switch {
	case db.dialect != Postgres:
		return nil, fmt.Errorf("%w: a pgx.Tx is never on a SQLite file; use the method that takes a *sql.Tx", ErrTx)
	case tx == nil:
		return nil, fmt.Errorf("%w: it is nil", ErrTx)
	}
	return db.wrapPgx(tx), nil
}

// requireOpen fails if SQLite has ended the transaction. The statement is one
// that SQLite refuses inside a transaction. Outside it has no effect, because
// the temporary database does not use the setting.
func (tx *Tx) requireOpen(ctx context.Context) error {
	switch _, err := tx.Exec(context.WithoutCancel(ctx), "PRAGMA temp.synchronous = FULL"); {
	case err == nil:
		return fmt.Errorf("SQLite has ended the transaction after an error: %w", sql.ErrTxDone)
	case !strings.Contains(err.Error(), "inside a transaction"):
		return err
	}
	return nil
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
	// SQLite may have ended the transaction on its own.
	if err := ctx.Err(); err != nil {
		return err
	}
	// A commit that has begun must not be interrupted, because its outcome
	// would be unknown.
	_, err := tx.conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	return err
}

// rollback reports no error. If it fails, the connection is closed, which also
// ends the transaction.
func (tx *Tx) rollback(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	switch {
	case tx.pgx != nil:
		_ = tx.pgx.Rollback(ctx) // pgx closes the connection on an error
	case tx.sql != nil:
		_ = tx.sql.Rollback() // the driver closes the connection on an error
	default:
		// SQLite ends the transaction on its own if a write is interrupted.
		// Close the connection only if it may still have a transaction, because
		// closing it would lose an in-memory database.
		_, err := tx.conn.ExecContext(ctx, "ROLLBACK")
		if err != nil && !strings.Contains(err.Error(), "no transaction is active") {
			_ = tx.conn.Raw(func(any) error { return driver.ErrBadConn }) // returns this error and closes
		}
	}
}

// script runs SQL text unchanged. It may have several statements and no
// parameters.
func (tx *Tx) script(ctx context.Context, text string) error {
	return tx.querier.(interface {
		script(ctx context.Context, text string) error
	}).script(ctx, text)
}
