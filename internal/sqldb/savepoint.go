package sqldb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	openSavepoint    = "SAVEPOINT deployhook"
	returnToIt       = "ROLLBACK TO SAVEPOINT deployhook"
	releaseSavepoint = "RELEASE SAVEPOINT deployhook"

	// interruptTimeout is how long a PostgreSQL server may take to cancel a
	// statement before its connection is closed.
	interruptTimeout = 5 * time.Second
	// interruptPause is the time between two requests to cancel a statement. One
	// request is enough unless it arrives between two statements.
	interruptPause = 50 * time.Millisecond
	// undoTries is the number of attempts to undo. A request to cancel may arrive
	// late and cancel the first one.
	undoTries = 3
)

// InSavepoint runs f in a savepoint of the caller's transaction, for example
// one of [DB.WrapSQL].
// If f fails or panics, or if ctx ends meanwhile, InSavepoint undoes what f
// did. The transaction is then as it was before, and the caller can commit it.
// If that is impossible, for example because the connection is lost,
// InSavepoint rolls the whole transaction back, so that a commit fails.
//
// f must use the context that it gets. When ctx ends, a statement of f ends in
// a way that keeps the transaction:
//
//	PostgreSQL   the server cancels it. If the server does not do so within 5
//	             seconds, the connection is closed.
//	SQLite       it runs to its end, because SQLite would roll back the
//	             transaction.
//
// A statement in a *sql.Tx is canceled with pg_cancel_backend from a connection
// of the DB, which needs the same role as the transaction.
func (tx *Tx) InSavepoint(ctx context.Context, f func(ctx context.Context) error) (err error) {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	interrupt, err := tx.interrupter(ctx)
	if err != nil {
		return err
	}
	if err := tx.control(ctx, openSavepoint); err != nil {
		return err
	}
	released := false
	defer func() {
		if !released {
			err = errors.Join(err, tx.undo(ctx))
		}
	}()
	err = shielded(ctx, interrupt, f)
	if ended := context.Cause(ctx); ended != nil && !errors.Is(err, ended) {
		if err == nil {
			return ended
		}
		return fmt.Errorf("%w: %w", ended, err)
	}
	if err != nil {
		return err
	}
	err = tx.control(ctx, releaseSavepoint)
	released = err == nil
	return err
}

// control runs a statement that manages the savepoint, even if ctx has ended.
func (tx *Tx) control(ctx context.Context, statement string) error {
	ctx = context.WithoutCancel(ctx)
	if tx.db.dialect == Postgres {
		bounded, cancel := context.WithTimeout(ctx, rollbackTimeout)
		defer cancel()
		ctx = bounded
	}
	_, err := tx.Exec(ctx, statement)
	return err
}

func (tx *Tx) undo(ctx context.Context) error {
	var err error
	for range undoTries {
		if err = tx.control(ctx, returnToIt); err == nil {
			err = tx.control(ctx, releaseSavepoint)
		}
		if SQLState(err) != stateCanceled {
			break
		}
	}
	if err != nil {
		tx.rollback(ctx)
		return fmt.Errorf("the whole transaction was rolled back, because its savepoint was lost: %w", err)
	}
	return nil
}

// interrupter returns a function that asks the server to cancel the statement
// that runs in the transaction. It returns nil for SQLite, and if ctx never
// ends.
func (tx *Tx) interrupter(ctx context.Context) (func(ctx context.Context) error, error) {
	if tx.db.dialect == SQLite || ctx.Done() == nil {
		return nil, nil
	}
	if tx.pgx != nil {
		if conn := tx.pgx.Conn(); conn != nil {
			return conn.PgConn().CancelRequest, nil
		}
	}
	var pid int64
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := tx.QueryRow(bounded, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return nil, err
	}
	return func(ctx context.Context) error {
		_, err := tx.db.Exec(ctx, "SELECT pg_cancel_backend(CAST(? AS integer))", pid)
		return err
	}, nil
}

// shielded calls f with a context that does not end with ctx. When ctx ends, it
// calls interrupt until f returns. If f does not return in time, its context
// ends.
func shielded(ctx context.Context, interrupt func(context.Context) error, f func(context.Context) error) error {
	inner := context.WithoutCancel(ctx)
	if interrupt == nil {
		return f(inner)
	}
	inner, cancel := context.WithCancel(inner)
	defer cancel()
	returned, interrupted := make(chan struct{}), make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		interruptUntil(inner, returned, interrupt)
		cancel()
	})
	defer func() {
		close(returned)
		// A request that is on its way must not meet a later statement.
		if !stop() {
			<-interrupted
		}
	}()
	return f(inner)
}

func interruptUntil(ctx context.Context, returned <-chan struct{}, interrupt func(context.Context) error) {
	ctx, cancel := context.WithTimeout(ctx, interruptTimeout)
	defer cancel()
	pause := time.NewTicker(interruptPause)
	defer pause.Stop()
	for {
		_ = interrupt(ctx) // closing the connection is the last resort
		select {
		case <-returned:
			return
		case <-ctx.Done():
			return
		case <-pause.C:
		}
	}
}
