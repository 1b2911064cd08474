package sqldedupe

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/dedupe"
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
	case isFull(err):
		err = fmt.Errorf("%w: %w", dedupe.ErrFull, err)
	case ctx.Err() != nil && !errors.Is(err, ctx.Err()):
		// Drivers say in many ways that they were interrupted.
		err = fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("sqldedupe: %s: %w", operation, err)
}

// sqlState is the SQLSTATE that a PostgreSQL driver gives for its errors, by which they are told apart without the driver
// being a dependency.
func sqlState(err error) string {
	var with interface{ SQLState() string }
	if errors.As(err, &with) {
		return with.SQLState()
	}
	return ""
}

// sqliteCode is the primary result code of SQLite.
func sqliteCode(err error) int {
	var with interface{ Code() int }
	if errors.As(err, &with) {
		return with.Code() & 0xff
	}
	return 0
}

const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateDiskFull      = "53100"

	codeBusy = 5
	codeFull = 13
)

// isFull finds that there is no room on the disk, or in the size that the database was given.
func isFull(err error) bool {
	return sqlState(err) == stateDiskFull || sqliteCode(err) == codeFull
}

// isConflict finds failures of a transaction isolation stricter than READ COMMITTED, which nothing was done under.
func isConflict(err error) bool {
	state := sqlState(err)
	return state == stateSerialization || state == stateDeadlock
}
