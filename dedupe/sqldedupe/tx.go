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

// confirmTimeout bounds the question whether a commit took effect, which is asked even if the context has ended.
const confirmTimeout = 5 * time.Second

// Tx is a transaction that a claim can be completed in: a *sql.Tx, a *sql.Conn on which one has been begun, or something
// that embeds one of them.
type Tx interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// CompleteTx completes the claim in the caller's transaction, on the store's database: when that is committed, the delivery
// is remembered together with whatever else was done in it, and when it is rolled back, neither is. From here until the
// end of the transaction nobody can take the delivery over, even if its lease ends. So commit soon; [Store.InTx] does
// all of it.
//
// After an error the transaction must be rolled back:
//   - [dedupe.ErrLeaseLost]: another holds the claim or has completed it. What was done in the transaction is done, or will
//     be, in the other's.
//   - [ErrCompleted]: the same claim was completed in an earlier transaction, which Complete would have been content with. What
//     was done is done.
//   - [sql.ErrTxDone], with SQLite: there is no transaction, or no longer, see below. Nothing has been completed.
//   - [dedupe.ErrInvalid], among others for a *sql.DB and what embeds one, which is no transaction; [dedupe.ErrFull] if the
//     disk is full; [dedupe.ErrClosed], context errors, failures of the database. A transaction stricter than READ
//     COMMITTED fails with SQLSTATE 40001 if the claim was renewed since it began: complete the claim first in those.
//
// SQLite ends a transaction by itself when a write is interrupted, as by a context that ends, on ON CONFLICT ROLLBACK and
// RAISE(ROLLBACK), and on some failures of the disk. database/sql does not notice: statements that follow commit one by
// one, and only the Commit fails. So with SQLite roll back after any error of a statement, or use InTx, which does not let
// that happen.
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

// refuseNoTx refuses what can be told from a transaction by its methods: a completion there stands without the effect.
func refuseNoTx(tx Tx) error {
	if t, ok := tx.(*sql.Tx); tx == nil || ok && t == nil {
		return fmt.Errorf("%w: sqldedupe: CompleteTx: the transaction is nil", dedupe.ErrInvalid)
	}
	_, pool := tx.(interface{ SetMaxOpenConns(n int) })
	_, begins := tx.(interface {
		BeginTx(ctx context.Context, opts *sql.TxOptions) (*sql.Tx, error)
	})
	_, conn := tx.(interface{ Raw(f func(any) error) error }) // one that a transaction was begun on by hand
	_, ends := tx.(interface{ Commit() error })
	if pool || begins && !conn && !ends {
		return fmt.Errorf("%w: sqldedupe: CompleteTx: a %T is no transaction; begin one, or use InTx", dedupe.ErrInvalid, tx)
	}
	return nil
}

func (s *Store) completeTx(ctx context.Context, operation string, r runner, c dedupe.Claim) error {
	if err := s.owns(ctx, operation, c); err != nil {
		return err
	}
	return s.fail(ctx, operation, s.complete(ctx, r, c))
}

// InTx begins a transaction, runs fn, completes the claim in the same transaction, and commits: what fn did in tx takes effect
// exactly once, whatever crashes and whenever. If fn fails or panics, or the claim is lost, everything is rolled back, and the
// error is fn's own, or as for [Store.CompleteTx]. It uses the database's default isolation. Give ctx a timeout: it bounds
// every wait for the database.
//
//	d, _ := receiver.FromContext(ctx)
//	return d.CompleteWith(func(c dedupe.Claim) error {
//		return store.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
//			_, err := tx.ExecContext(ctx, "INSERT INTO deployments (id, app) VALUES (?, ?)", e.DeploymentID, e.App)
//			return err
//		})
//	})
//
// fn must do all of its work on tx, and neither commit it nor roll it back; nothing else is undone by a rollback. Nor is there a
// second connection to do it on with the one that a SQLite store has: a call on the database inside fn waits until ctx ends.
// While fn runs a SQLite file can't be written by anybody else, so fn should be short.
//
// With SQLite the claim is completed before fn runs, so that fn begins with the lock on the file; with PostgreSQL
// afterwards, so that the claim can be renewed while fn runs. Under a default isolation stricter than READ COMMITTED it is
// completed before as well, because a renewal that comes in between would make the transaction fail: renewals then wait for
// its end, so fn must not renew the claim itself, and nobody can take the delivery over until then.
//
// SQLite ends a transaction by itself on some errors, see CompleteTx. If fn goes on after one, nothing that it does is
// committed: its writes fail (SQLITE_CONSTRAINT_COMMITHOOK, 531), and if it ignores that too, InTx fails with an error that
// wraps [sql.ErrTxDone]. For that it takes the commit hook of the connection
// while fn runs, and leaves it without one. This needs modernc.org/sqlite, github.com/mattn/go-sqlite3, or a wrapper of one
// with a method Raw() driver.Conn. With another driver InTx fails likewise, but what fn did after such an error may
// have been committed, and happens again with the next try: fn must return every error there.
//
// If the connection is lost during the commit the database is asked what became of it: nil means that it has been
// committed, and an error that it has not. The error wraps [ErrOutcomeUnknown] if there is no answer within 5 seconds, for
// which InTx may outlast ctx. Return it like any other: if the commit took effect, the sender's next try is a duplicate.
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
		// Completed first, the claim met a renewal. Nothing has been done yet.
	}
	return nil // not reached
}

// tryInTx is one transaction of InTx. committing says that an error is the commit's. When it returns, the connection is free.
func (s *Store) tryInTx(ctx context.Context, c dedupe.Claim, fn func(ctx context.Context, tx *sql.Tx) error) (committing bool, err error) {
	tx, g, err := s.engine.begin(ctx, s.db)
	if err != nil {
		return false, s.fail(ctx, "InTx: begin", err)
	}
	defer g.close()
	defer func() { _ = tx.Rollback() }() // also after a panic; does nothing after a commit
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
	// If the completion is not there, the transaction has been ended, whether or not another has been begun since.
	var by int64
	if _, err := (within{tx}).one(ctx, &s.stmts.confirm, []any{c.Key[:]}, &by); err != nil {
		return s.fail(ctx, "InTx", err)
	}
	if by != int64(c.Token) {
		return s.fail(ctx, "InTx", fmt.Errorf("SQLite ended the transaction after an error that the function went on from: %w", sql.ErrTxDone))
	}
	return s.fail(ctx, "InTx", g.off())
}

// settle finds out what became of a commit that ended with an error.
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
	case !found: // a row that the transaction may yet insert
		return fmt.Errorf("%w: %w", ErrOutcomeUnknown, failure)
	case by == int64(c.Token):
		return nil
	}
	return failure
}

// CompletePgxTx is [Store.CompleteTx] for the native interface of pgx: tx is a
// transaction on the database of the store, which itself uses it through
// database/sql.
//
//	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "INSERT INTO deployments (id) VALUES ($1)", id); err != nil {
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
