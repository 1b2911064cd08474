package inbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// Attempt is one call of the handler. The handler gets it with [FromContext],
// and the received delivery with [receiver.FromContext].
type Attempt struct {
	// ID is the delivery's ID in the inbox, for [Inbox.Get] and [Inbox.Replay].
	ID int64
	// Number counts attempts from 1, since the delivery was stored or last
	// replayed. Attempts that ended with their process do not count.
	Number int
	// ReceivedAt is when the delivery was stored.
	ReceivedAt time.Time

	in       *Inbox
	record   *record
	lease    *lease
	event    *payload.Event
	envelope *payload.Envelope // nil if the event came in its own form

	mu        sync.Mutex
	over      bool // the handler has returned
	completes bool // CompleteTx succeeded
}

type attemptKey struct{}

// FromContext returns the attempt that the handler runs for. ok is false in any
// other context.
func FromContext(ctx context.Context) (a *Attempt, ok bool) {
	a, ok = ctx.Value(attemptKey{}).(*Attempt)
	return a, ok
}

// CompleteTx marks the delivery as handled in the transaction of the handler's
// effect. Both commit or neither does, so the event takes effect exactly once,
// no matter which process crashes or when.
//
//	a, _ := inbox.FromContext(ctx)
//	return db.Transaction(func(tx *gorm.DB) error {
//		if err := tx.Model(&app).Update("version", e.Version).Error; err != nil {
//			return err
//		}
//		return a.CompleteTx(ctx, tx.Statement.ConnPool.(*sql.Tx))
//	})
//
// The transaction is on the inbox's database, on a connection of the
// application. On PostgreSQL its driver may be pgx or lib/pq. On SQLite the
// connection needs a busy timeout. [Attempt.CompletePgxTx] takes a pgx.Tx.
//
// The caller commits tx. Call CompleteTx as the last statement before the
// commit. Roll back if it returns an error such as [ErrOver]. If the handler
// returns nil without committing, the attempt fails with [ErrNotCompleted].
// After the commit the handler's result changes nothing.
func (a *Attempt) CompleteTx(ctx context.Context, tx *sql.Tx) error {
	wrapped, err := a.in.db.WrapSQL(ctx, tx)
	if err != nil {
		return fmt.Errorf("inbox: CompleteTx: %w", err)
	}
	return a.complete(ctx, "CompleteTx", wrapped)
}

// CompletePgxTx is [Attempt.CompleteTx] for the native interface of pgx. On
// SQLite it fails.
//
//	a, _ := inbox.FromContext(ctx)
//	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "UPDATE apps SET version = $1 WHERE name = $2", e.Version, e.App); err != nil {
//			return err
//		}
//		return a.CompletePgxTx(ctx, tx)
//	})
func (a *Attempt) CompletePgxTx(ctx context.Context, tx pgx.Tx) error {
	wrapped, err := a.in.db.WrapPgx(tx)
	if err != nil {
		return fmt.Errorf("inbox: CompletePgxTx: %w", err)
	}
	return a.complete(ctx, "CompletePgxTx", wrapped)
}

func (a *Attempt) complete(ctx context.Context, operation string, tx *jobdb.Tx) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return ErrOver
	}
	if err := a.in.setHandled(ctx, tx, a.record, a.lease); err != nil {
		if errors.Is(err, ErrOver) {
			return err
		}
		return fmt.Errorf("inbox: %s: %w", operation, err)
	}
	a.completes = true
	return nil
}

// end ends the attempt, so that CompleteTx fails from now on. It reports
// whether CompleteTx succeeded before.
func (a *Attempt) end() (completes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	return a.completes
}

// setHandled marks a delivery as handled. With ordering it also advances the
// deployment's position. It returns ErrOver if the delivery is already handled
// or the deployment's lease has ended.
func (in *Inbox) setHandled(ctx context.Context, tx *jobdb.Tx, r *record, l *lease) error {
	if l != nil {
		if err := in.advance(ctx, tx, r, l); err != nil {
			return err
		}
	}
	n, err := tx.Exec(ctx, `UPDATE {schema}inbox_delivery SET state = 'handled', finished_at = {now}, attempts = attempts + 1,
		last_error = '' WHERE id = ? AND state = 'pending' AND round = ?`, r.id, r.round)
	if err == nil && n == 0 {
		err = ErrOver
	}
	return err
}

// call runs the handler. A panic or runtime.Goexit becomes an error.
func (in *Inbox) call(ctx context.Context, a *Attempt) (completes bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, in.handlerTimeout, ErrTimeout)
	defer cancel()
	ctx = receiver.NewContext(ctx, a.record.delivery(a.event, a.envelope))
	ctx = context.WithValue(ctx, attemptKey{}, a)
	fault := in.faults.Call(ctx, inHandler, func() { err = in.handler(ctx, a.event) })
	switch {
	case fault == nil:
	case fault.Value == nil:
		err = errGoexit
	default:
		err = &panicError{fault}
	}
	return a.end(), err
}

// panicError has the panic value's text and the place where it occurred.
type panicError struct{ fault *contain.Fault }

func (e *panicError) Error() string {
	return fmt.Sprintf("inbox: the handler %v\n%s", e.fault, e.fault.Stack)
}

// Unwrap finds an error that was the panic value, for example a permanent one.
func (e *panicError) Unwrap() error { return e.fault.Unwrap() }
