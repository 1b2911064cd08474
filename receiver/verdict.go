package receiver

import (
	"net/http"
	"time"
)

// verdict is an error with which a handler chooses the outcome and the answer.
// Of several in one chain the outermost counts.
type verdict interface {
	error
	verdict(rc *Receiver, d *Delivery) (Outcome, answer)
}

// ErrDuplicate is for handlers that recognise deliveries by themselves, a durable queue that knows the ID already for
// example. The peer gets the answer of a duplicate, 200 {"received":true,"duplicate":true}, and the delivery counts as
// handled.
var ErrDuplicate error = duplicateError{}

type duplicateError struct{}

func (duplicateError) Error() string { return "receiver: the delivery has been handled already" }

func (duplicateError) verdict(*Receiver, *Delivery) (Outcome, answer) {
	return Duplicate, duplicateAnswer()
}

// TryAgain returns an error with which a handler says that it can't take the delivery now, and that it is not the
// delivery's fault: its database is down, its queue is full. The peer gets 503 instead of 500, with a Retry-After of
// retryAfter, rounded up to whole seconds; zero or less means 5 seconds, and more than a day means a day. The claim is released, as with any other error.
// err may be nil.
func TryAgain(retryAfter time.Duration, err error) error {
	if retryAfter <= 0 {
		retryAfter = unavailableRetry
	}
	return &tryAgainError{retryAfter: min(retryAfter, 24*time.Hour), err: err}
}

type tryAgainError struct {
	retryAfter time.Duration
	err        error
}

func (e *tryAgainError) Error() string {
	if e.err == nil {
		return "receiver: unavailable"
	}
	return "receiver: unavailable: " + e.err.Error()
}

func (e *tryAgainError) Unwrap() error { return e.err }

func (e *tryAgainError) verdict(*Receiver, *Delivery) (Outcome, answer) {
	a := unavailableAnswer()
	a.retryAfter = e.retryAfter
	return Unavailable, a
}

// Incomplete returns an error with which a handler says that the delivery took
// effect although part of the work failed, such as a number that could not be
// computed. The sender gets the answer of a handled delivery and does not try
// again. The log line has level Error, and [Result].Err is this error. A nil
// err is nil.
func Incomplete(err error) error {
	if err == nil {
		return nil
	}
	return &incompleteError{err}
}

type incompleteError struct{ err error }

func (e *incompleteError) Error() string { return e.err.Error() }

func (e *incompleteError) Unwrap() error { return e.err }

func (e *incompleteError) verdict(rc *Receiver, d *Delivery) (Outcome, answer) {
	return rc.handled(), handledAnswer(d, rc.success)
}

// WithAccepted answers a delivery that the handler of [Receiver.Events] or [Receiver.Records] took with 202 instead of 200, and its outcome is [Accepted]: for handlers that
// store it durably and do the work later. A handler wrapped with [Receiver.Wrap] chooses its own status. Default off.
func WithAccepted() Option {
	return optionFunc(func(c *config) { c.success = http.StatusAccepted })
}
