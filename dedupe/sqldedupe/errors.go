package sqldedupe

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/sqldb"
)

var (
	// ErrCompleted reports that the same claim was already completed. The
	// effect of the delivery was committed before and must not be committed
	// again, so roll back the transaction.
	ErrCompleted = errors.New("sqldedupe: the same claim was already completed")

	// ErrOutcomeUnknown reports that the connection was lost during the commit,
	// and that the database could not be asked for the outcome. Either both the
	// effect and the completion exist, or neither does. Treat it as any other
	// error. The sender's retry is then a duplicate or is handled.
	ErrOutcomeUnknown = errors.New("sqldedupe: it is unknown whether the transaction was committed")
)

// fail wraps an error of the database.
func (s *Store) fail(ctx context.Context, operation string, err error) error {
	switch {
	case err == nil:
		return nil
	case s.closed.Load():
		err = dedupe.ErrClosed
	case sqldb.IsFull(err):
		err = fmt.Errorf("%w: %w", dedupe.ErrFull, sqldb.Explain(err))
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		// Drivers report an interruption in many ways, so add the context's
		// error.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("sqldedupe: %s: %w", operation, sqldb.Explain(err))
}
