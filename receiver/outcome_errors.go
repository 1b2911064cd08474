package receiver

import (
	"net/http"
	"time"
)

// outcomeError is an error that selects the outcome and the answer. If a chain
// has several, the outermost one applies.
type outcomeError interface {
	error
	outcome(rc *Receiver, d *Delivery) (Outcome, answer)
}

// ErrDuplicate is returned by a handler that recognised the delivery as a
// duplicate itself, such as a durable queue that already has the ID. The sender
// gets 200 {"received":true,"duplicate":true}, and the delivery counts as
// handled.
var ErrDuplicate error = duplicateError{}

type duplicateError struct{}

func (duplicateError) Error() string { return "receiver: the delivery has been handled already" }

func (duplicateError) outcome(*Receiver, *Delivery) (Outcome, answer) {
	return Duplicate, duplicateAnswer()
}

// TryAgain returns an error for a handler that cannot take a valid delivery
// now, for example because its database is down or its queue is full. The
// sender gets 503 instead of 500, with a Retry-After header. The claim is
// released, as with any other error. err may be nil.
//
//	retryAfter        Retry-After
//	zero or less      5 seconds
//	up to a day       rounded up to whole seconds
//	more than a day   one day
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

func (e *tryAgainError) outcome(*Receiver, *Delivery) (Outcome, answer) {
	a := unavailableAnswer()
	a.retryAfter = e.retryAfter
	return Unavailable, a
}

// Incomplete returns an error for a handler whose delivery took effect although
// part of the work failed, such as a number that could not be computed. The
// sender gets the answer of a handled delivery and does not try again. The log
// line has level Error, and [Result].Err is this error. Incomplete returns nil
// if err is nil.
func Incomplete(err error) error {
	if err == nil {
		return nil
	}
	return &incompleteError{err}
}

type incompleteError struct{ err error }

func (e *incompleteError) Error() string { return e.err.Error() }

func (e *incompleteError) Unwrap() error { return e.err }

func (e *incompleteError) outcome(rc *Receiver, d *Delivery) (Outcome, answer) {
	return rc.handled(), handledAnswer(d, rc.success)
}

// WithAccepted answers handled deliveries with 202 instead of 200, with the
// outcome [Accepted]. Use it for [Receiver.Events] and [Receiver.Records]
// handlers that store deliveries and do the work later. A handler wrapped with
// [Receiver.Wrap] chooses its own status. Default: off.
func WithAccepted() Option {
	return optionFunc(func(c *config) { c.success = http.StatusAccepted })
}
