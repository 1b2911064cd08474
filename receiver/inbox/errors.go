package inbox

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrConfig is wrapped by every error of configuration. The text names the option at fault.
	ErrConfig = errors.New("inbox: invalid configuration")
	// ErrNotFound is returned for an ID that the inbox does not have, or has no more.
	ErrNotFound = errors.New("inbox: no such delivery")
	// ErrPending is returned by [Inbox.Replay] for a delivery that is still to be handled.
	ErrPending = errors.New("inbox: the delivery is still pending")
	// ErrFull is why a delivery was turned away with 503: [WithMaxBacklog] are waiting.
	ErrFull = errors.New("inbox: the backlog is full")
	// ErrNotCompleted is why an attempt failed whose handler called [Attempt.CompleteTx] and returned nil, but did not
	// commit that transaction.
	ErrNotCompleted = errors.New("inbox: the transaction given to CompleteTx was not committed")
	// ErrOver is returned by [Attempt.CompleteTx] where the delivery is not this attempt's any more: it is handled
	// already, its attempt is over, or the order of its deployment has passed to another process. The transaction must
	// be rolled back.
	ErrOver = errors.New("inbox: the delivery is no longer this attempt's")
	// ErrLeaseLost is the cause of a handler's context, with [WithOrdering], when the right to handle its deployment's
	// events could not be renewed in time: another process may be handling the next one.
	ErrLeaseLost = errors.New("inbox: the right to handle this deployment's events was lost")
	// ErrTimeout is the cause of a handler's context after [WithHandlerTimeout].
	ErrTimeout = errors.New("inbox: the handler took too long")
	// ErrContradiction is why an event is dead that contradicts what has landed, such as a success after a failure, with
	// [WithOrdering].
	ErrContradiction = errors.New("inbox: the event contradicts the deployment's known status")

	// ErrClosed is returned by [Inbox.Start] after [Inbox.Close], and is why a delivery is then turned away with 503.
	ErrClosed = errors.New("inbox: closed")

	errGoexit  = errors.New("inbox: the handler ended its goroutine")
	errLost    = errors.New("inbox: the process ended again and again while it handled this delivery")
	errRemoved = errors.New("inbox: the job was cancelled")
)

func configError(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrConfig}, args...)...)
}

// Permanent marks an error that no further attempt mends: the delivery becomes a dead letter at once. nil stays nil.
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

// maxErrorText is how much of an error is kept, in bytes.
const maxErrorText = 4 << 10

func errorText(err error) string {
	if err == nil {
		return ""
	}
	text := err.Error()
	return storable(text[:min(len(text), maxErrorText)])
}

// storable is text in a form that both databases take: PostgreSQL refuses NUL and what is not UTF-8.
func storable(text string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}
