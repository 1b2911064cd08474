package sqldedupe

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/sqldb"
)

var (
	// ErrCompleted says that the claim has been completed already by the same claim's holder: what was done for the delivery
	// has been committed before, and must not be a second time. The transaction must be rolled back.
	ErrCompleted = errors.New("sqldedupe: the claim has been completed before, by its own holder")

	// ErrOutcomeUnknown says that the connection was lost during the commit, and that the database could not be asked
	// afterwards: the effect and the completion are both there, or neither is. Answer as after any other error: the sender
	// tries again, and is then told that it is a duplicate, or the delivery is handled.
	ErrOutcomeUnknown = errors.New("sqldedupe: whether the transaction was committed is not known")
)

// fail turns a database's error into the store's.
func (s *Store) fail(ctx context.Context, operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		err = dedupe.ErrClosed
	case sqldb.IsFull(err):
		err = fmt.Errorf("%w: %w", dedupe.ErrFull, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		// Drivers say in many ways that they were interrupted.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("sqldedupe: %s: %w", operation, err)
}
