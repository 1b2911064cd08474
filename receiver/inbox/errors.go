package inbox

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrConfig is wrapped by every configuration error. The text names the
	// option to change.
	ErrConfig = errors.New("inbox: invalid configuration")
	// ErrNotFound is returned for an ID that the inbox does not have or has
	// removed.
	ErrNotFound = errors.New("inbox: no such delivery")
	// ErrInvalid is wrapped by the error for a [Page] that no list returned, and
	// for a [Filter] with an unknown state.
	ErrInvalid = errors.New("inbox: invalid")
	// ErrPending is returned by [Inbox.Replay] for a delivery that is still
	// pending.
	ErrPending = errors.New("inbox: the delivery is still pending and cannot be replayed")
	// ErrFull is the reason for a 503 while the backlog has [WithMaxBacklog]
	// deliveries.
	ErrFull = errors.New("inbox: the backlog is full")
	// ErrNotCompleted is why an attempt failed if its handler called
	// [Attempt.CompleteTx] and returned nil without committing that
	// transaction.
	ErrNotCompleted = errors.New("inbox: the transaction given to CompleteTx was not committed")
	// ErrOver is returned by [Attempt.CompleteTx] if the delivery no longer
	// belongs to this attempt. The delivery is already handled, the attempt has
	// ended, or another process took over the deployment's order. Roll the
	// transaction back.
	ErrOver = errors.New("inbox: the attempt has ended or the delivery is already handled")
	// ErrLeaseLost is the cause with which a handler's context ends, with
	// [WithOrdering], if the lease on its deployment could not be renewed in
	// time. Another process may be handling the next event.
	ErrLeaseLost = errors.New("inbox: the lease on this deployment was lost while the handler ran")
	// ErrTimeout is the cause with which a handler's context ends after
	// [WithHandlerTimeout].
	ErrTimeout = errors.New("inbox: the handler took too long")
	// ErrContradiction is why an event is dead, with [WithOrdering], if it
	// contradicts what was already handled, such as a success after a failure.
	ErrContradiction = errors.New("inbox: the event contradicts the deployment's known status")

	// ErrClosed is returned by every call after [Inbox.Close]. It is also why
	// deliveries are then answered with 503.
	ErrClosed = errors.New("inbox: closed")

	errGoexit = errors.New("inbox: the handler ended its goroutine")
	errLost   = errors.New("inbox: the process died repeatedly while it handled this delivery")
)

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}

// Permanent marks an error that further attempts cannot fix. The delivery
// becomes a dead letter at once. Permanent returns nil if err is nil.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return &permanentError{err}
}

type permanentError struct{ err error }

func (e *permanentError) Error() string { return e.err.Error() }
func (e *permanentError) Unwrap() error { return e.err }

func isPermanent(err error) bool {
	_, ok := errors.AsType[*permanentError](err)
	return ok
}

// maxErrorText is the maximum stored length of an error in bytes.
const maxErrorText = 4 << 10

func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return storable(text[:min(len(text), maxErrorText)])
}

// storable makes text acceptable to both databases. PostgreSQL refuses NUL and
// invalid UTF-8.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
