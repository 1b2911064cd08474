package sqldedupe

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// confirmTimeout limits the question whether a commit took effect. The store
// asks it even if the context has ended.
const confirmTimeout = 5 * time.Second

// Tx is a transaction in which a claim can be completed. It is a *sql.Tx, a
// *sql.Conn with an open transaction, or a type that embeds one of them.
//
// The interface is frozen: it gets no further method.
type Tx interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// CompleteTx completes the claim in the caller's transaction on the store's
// database. The completion takes effect together with everything else in the
// transaction when it is committed, or not at all. Until the transaction ends,
// no other worker can take over the delivery, even if the lease ends, so commit
// soon. [Store.InTx] does all of this.
//
// After an error, roll back the transaction:
//
//   - [dedupe.ErrLeaseLost]: another worker holds the claim or has completed
//     it. The work of this transaction is done or will be done by that worker.
//   - [ErrCompleted]: an earlier transaction completed the same claim, and its
//     work is done. Complete would return nil in this case.
//   - [sql.ErrTxDone]: SQLite has no open transaction, see below. Nothing was
//     completed.
//   - [dedupe.ErrInvalid]: an argument is invalid. Among others, a *sql.DB is
//     not a transaction.
//   - [dedupe.ErrFull]: the disk is full.
//   - SQLSTATE 40001: the isolation is stricter than READ COMMITTED, and the
//     claim was renewed since the transaction began. Complete the claim first
//     in such transactions.
//   - Other errors are [dedupe.ErrClosed], context errors, and failures of the
//     database.
//
// SQLite ends a transaction on its own if a write is interrupted, for example
// by the end of a context. It does the same for ON CONFLICT ROLLBACK,
// RAISE(ROLLBACK) and some disk failures. database/sql does not notice that.
// Each following statement is committed separately, and only the Commit fails.
// With SQLite, therefore roll back after any error of a statement, or use InTx,
// which prevents this.
func (s *Store) CompleteTx(ctx context.Context, tx Tx, c dedupe.Claim) error {
	if err := refuseNoTx(tx); err != nil {
		return err
	}
	if err := s.owns(ctx, "CompleteTx", c); err != nil {
		return err
	}
	if err := s.engine.inside(ctx, tx); err != nil {
		return s.fail(ctx, "CompleteTx", err)
	}
	return s.completeTx(ctx, "CompleteTx", within{tx}, c)
}

// refuseNoTx refuses types that are not transactions, as far as their methods
// show it. A completion there would be committed without the effect.
func refuseNoTx(tx Tx) error {
	if t, ok := tx.(*sql.Tx); tx == nil || ok && t == nil {
		return fmt.Errorf("%w: sqldedupe: CompleteTx: the transaction is nil", dedupe.ErrInvalid)
	}
	_, pool := tx.(interface{ SetMaxOpenConns(n int) })
	_, begins := tx.(interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	})
	// A connection may have a transaction that the caller began by hand.
	_, conn := tx.(interface{ Raw(f func(any) error) error })
	_, ends := tx.(interface{ Commit() error })
	if pool || begins && !conn && !ends {
		return fmt.Errorf("%w: sqldedupe: CompleteTx: a %T is not a transaction; begin one, or use InTx", dedupe.ErrInvalid, tx)
	}
	return nil
}

func (s *Store) completeTx(ctx context.Context, operation string, r runner, c dedupe.Claim) error {
	if err := s.owns(ctx, operation, c); err != nil {
		return err
	}
	return s.fail(ctx, operation, s.complete(ctx, r, c))
}

// InTx begins a transaction, calls fn, completes the claim in the same
// transaction, and commits. The effect of fn in tx takes place exactly once, no
// matter which process crashes or when. If fn fails or panics, or the claim is
// lost, InTx rolls everything back. The error is fn's own or one of
// [Store.CompleteTx]. InTx uses the database's default isolation. Give ctx a
// timeout, because it limits every wait for the database.
//
//	d, _ := receiver.FromContext(ctx)
//	insert := func(ctx context.Context, tx *sql.Tx) error {
//		_, err := tx.ExecContext(ctx,
//			"INSERT INTO deployments (id, app) VALUES (?, ?)",
//			e.DeploymentID, e.App)
//		return err
//	}
//	return d.CompleteWith(func(c dedupe.Claim) error {
//		return store.InTx(ctx, c, insert)
//	})
//
// The placeholders in fn's statements are those of the driver. With PostgreSQL
// they are $1 and $2 instead of the question marks.
//
// fn must follow these rules:
//
//   - It does all of its work in tx, because a rollback undoes nothing else.
//   - It neither commits tx nor rolls it back.
//   - It does not use the database outside of tx. A SQLite store has only one
//     connection, so such a call waits until ctx ends.
//   - It is short, because no other process can write to a SQLite file while it
//     runs.
//
// The time of the completion depends on the database:
//
//	SQLite                           before fn, so that fn has the file's lock
//	PostgreSQL, READ COMMITTED       after fn, so that renewals work meanwhile
//	PostgreSQL, stricter isolation   before fn, because a renewal in between
//	                                 would make the transaction fail
//
// If the claim is completed before fn in PostgreSQL, renewals wait for the end
// of the transaction, so fn must not renew the claim. No other worker can take
// over the delivery until then.
//
// SQLite ends a transaction on its own after some errors, see CompleteTx. If fn
// continues after such an error, InTx commits nothing of its work. Later writes
// of fn fail with SQLITE_CONSTRAINT_COMMITHOOK (531). If fn ignores that too,
// InTx fails with an error that wraps [sql.ErrTxDone]. To do so, InTx uses the
// connection's commit hook while fn runs, and removes the hook afterwards. This
// works with modernc.org/sqlite, github.com/mattn/go-sqlite3, and a wrapper of
// one with a method Raw() driver.Conn. With another driver InTx also fails, but
// the work of fn after such an error may have been committed, and the retry
// repeats it. With such a driver, fn must return every error.
//
// If the connection is lost during the commit, InTx asks the database for the
// outcome. It returns nil if the transaction was committed, and an error if it
// was not. The error wraps [ErrOutcomeUnknown] if the database does not answer
// within 5 seconds, which may be longer than ctx. Return it like any other
// error. If the commit took effect, the sender's retry is a duplicate.
func (s *Store) InTx(ctx context.Context, c dedupe.Claim, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if fn == nil {
		return fmt.Errorf("%w: sqldedupe: InTx: the function is nil", dedupe.ErrInvalid)
	}
	if err := s.owns(ctx, "InTx", c); err != nil {
		return err
	}
	for try := range claimTries {
		if err := pause(ctx, try); err != nil {
			return s.fail(ctx, "InTx", err)
		}
		called := false
		committing, err := s.tryInTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
			called = true
			return fn(ctx, tx)
		})
		switch {
		case err == nil:
			return nil
		case committing:
			return s.settle(ctx, c, err)
		case called || !sqldb.IsConflict(err) || try == claimTries-1:
			return err
		}
		// The early completion conflicted with a renewal. fn has not been
		// called yet.
	}
	return nil // not reached
}

// tryInTx runs one transaction of InTx. committing reports that an error came
// from the commit. The connection is free when tryInTx returns.
func (s *Store) tryInTx(ctx context.Context, c dedupe.Claim, fn func(ctx context.Context, tx *sql.Tx) error) (committing bool, err error) {
	tx, g, err := s.engine.begin(ctx, s.db)
	if err != nil {
		return false, s.fail(ctx, "InTx: begin", err)
	}
	defer g.close()
	// also after a panic; no effect after a commit
	defer func() { _ = tx.Rollback() }()
	if s.engine.completesFirst() {
		err = s.completeAndRun(ctx, tx, g, c, fn)
	} else if err = fn(ctx, tx); err == nil {
		err = s.completeTx(ctx, "InTx", within{tx}, c)
		s.engine.learn(err)
	}
	if err != nil {
		return false, err
	}
	return true, s.fail(ctx, "InTx: commit", tx.Commit())
}

func (s *Store) completeAndRun(ctx context.Context, tx *sql.Tx, g *guard, c dedupe.Claim, fn func(ctx context.Context, tx *sql.Tx) error) error {
	if err := s.completeTx(ctx, "InTx", within{tx}, c); err != nil {
		return err
	}
	if err := g.on(); err != nil {
		return s.fail(ctx, "InTx", err)
	}
	if err := fn(ctx, tx); err != nil {
		return err
	}
	if g == nil {
		return nil
	}
	// If the completion is missing, SQLite has ended the transaction, even if
	// another one has begun since.
	var by int64
	if _, err := (within{tx}).one(ctx, &s.stmts.confirm, []any{c.Key[:]}, &by); err != nil {
		return s.fail(ctx, "InTx", err)
	}
	if by != int64(c.Token) {
		return s.fail(ctx, "InTx", fmt.Errorf("SQLite ended the transaction after an error, but the function continued: %w", sql.ErrTxDone))
	}
	return s.fail(ctx, "InTx", g.off())
}

// settle finds out whether a commit that returned an error took effect.
func (s *Store) settle(ctx context.Context, c dedupe.Claim, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout)
	defer cancel()
	var by int64
	var found bool
	err := s.engine.auto(ctx, s.db, func(r runner) (err error) {
		found, err = r.one(ctx, &s.stmts.confirm, []any{c.Key[:]}, &by)
		return err
	})
	switch {
	case err != nil:
		return errors.Join(fmt.Errorf("%w: %w", ErrOutcomeUnknown, failure), s.fail(ctx, "InTx: after the commit", err))
	case !found: // a row that the transaction may still insert
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, failure)
	case by == int64(c.Token):
		return nil
	}
	return failure
}

// CompletePgxTx is [Store.CompleteTx] for the native interface of pgx. tx is a
// transaction on the store's database, which the store itself uses through
// database/sql.
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		_, err := tx.Exec(ctx, "INSERT INTO deployments (id) VALUES ($1)", id)
//		if err != nil {
//			return err
//		}
//		return store.CompletePgxTx(ctx, tx, claim)
//	})
func (s *Store) CompletePgxTx(ctx context.Context, tx pgx.Tx, c dedupe.Claim) error {
	if tx == nil {
		return fmt.Errorf("%w: sqldedupe: CompletePgxTx: the transaction is nil", dedupe.ErrInvalid)
	}
	return s.completeTx(ctx, "CompletePgxTx", pgxRunner{tx}, c)
}

type pgxRunner struct{ tx pgx.Tx }

func (p pgxRunner) one(ctx context.Context, st *statement, args []any, into ...any) (bool, error) {
	err := p.tx.QueryRow(ctx, st.text, args...).Scan(into...)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
