package inbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// Attempt is one call of the handler. [FromContext] finds it; [receiver.FromContext] has what was received.
type Attempt struct {
	// ID is the delivery's in the inbox, for [Inbox.Get] and [Inbox.Replay].
	ID int64
	// Number is 1 for the first attempt since the delivery was stored, or last replayed. Attempts that ended with their
	// process are not counted.
	Number int
	// ReceivedAt is when the delivery was stored.
	ReceivedAt time.Time

	in     *Inbox
	record *record
	lease  *lease
	event  *payload.Event

	mu        sync.Mutex
	over      bool // the handler has returned
	completes bool // CompleteTx succeeded
}

type attemptKey struct{}

// FromContext returns the attempt that a handler runs for; ok is false in any other context.
func FromContext(ctx context.Context) (a *Attempt, ok bool) {
	a, ok = ctx.Value(attemptKey{}).(*Attempt)
	return a, ok
}

// CompleteTx marks the delivery as handled in the transaction that the handler's effect is in: both are then there or neither is,
// and the event takes effect exactly once, whatever crashes when. tx is a pgx.Tx on the inbox's PostgreSQL database, or
// a *sql.Tx on its SQLite file, which needs a connection of the application's own with a busy timeout; it stays the
// caller's to commit.
//
//	a, _ := inbox.FromContext(ctx)
//	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//		if _, err := tx.Exec(ctx, "UPDATE apps SET version = $1 WHERE name = $2", e.Version, e.App); err != nil {
//			return err
//		}
//		return a.CompleteTx(ctx, tx)
//	})
//
// Make it the last statement before the commit. After an error, [ErrOver] among them, the transaction must be rolled back.
// A handler that returns nil without having committed has failed, with [ErrNotCompleted]. Once it has committed,
// what the handler returns changes nothing.
func (a *Attempt) CompleteTx(ctx context.Context, tx any) error {
	wrapped, err := a.in.db.Wrap(tx)
	if err != nil {
		return fmt.Errorf("inbox: CompleteTx: %w", err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.over {
		return ErrOver
	}
	if err := a.in.land(ctx, wrapped, a.record, a.lease); err != nil {
		if errors.Is(err, ErrOver) {
			return err
		}
		return fmt.Errorf("inbox: CompleteTx: %w", err)
	}
	a.completes = true
	return nil
}

// end says whether CompleteTx has been called, which it can't be any more.
func (a *Attempt) end() (completes bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.over = true
	return a.completes
}

// land marks a delivery as handled and, under an order, moves the deployment's position. It fails with ErrOver if the
// delivery is handled already, or the deployment's lease has ended.
func (in *Inbox) land(ctx context.Context, tx *riverdb.Tx, r *record, l *lease) error {
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

// call runs the handler and contains its faults, which are failures.
func (in *Inbox) call(ctx context.Context, a *Attempt) (err error, completes bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, in.handlerTimeout, ErrTimeout)
	defer cancel()
	ctx = receiver.NewContext(ctx, a.record.delivery(a.event))
	ctx = context.WithValue(ctx, attemptKey{}, a)
	fault := in.faults.Call(ctx, inHandler, func() { err = in.handler(ctx, a.event) })
	switch {
	case fault == nil:
	case fault.Value == nil:
		err = errGoexit
	default:
		err = &panicError{fault}
	}
	return err, a.end()
}

// panicError has the value's text and where it came from.
type panicError struct{ fault *contain.Fault }

func (e *panicError) Error() string {
	return fmt.Sprintf("inbox: the handler %v\n%s", e.fault, e.fault.Stack)
}

// Unwrap finds an error that was panicked with, a permanent one for example.
func (e *panicError) Unwrap() error { return e.fault.Unwrap() }
