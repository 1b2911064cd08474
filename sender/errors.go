package sender

import (
	"errors"
	"fmt"
	"strings"
)

// ErrConfig is wrapped by every error of [New]. The text names the option and
// says what to write instead.
var ErrConfig = errors.New("sender: invalid configuration")

// The reasons why a delivery ended without success. [Sender.Send] and
// [Sender.Deliver] return a [*DeliveryError]. It wraps one of them, or the
// error of the context that ended the delivery.
var (
	// ErrGone says that the endpoint wants no more deliveries. It answered 410,
	// or asked to be disabled ([DirectiveDisable]). Disable the endpoint.
	ErrGone = errors.New("sender: endpoint wants no more deliveries")
	// ErrAborted says that the endpoint wants no more attempts of this delivery
	// ([DirectiveAbort]).
	ErrAborted = errors.New("sender: endpoint aborted the delivery")
	// ErrExhausted says that every attempt of the schedule has failed.
	ErrExhausted = errors.New("sender: all attempts failed")
	// ErrRejected says that the endpoint gave an answer that no retry changes.
	// It is a client error (4xx) with [WithStopOnClientError], or a redirect
	// (3xx) in the [Pipeline] schedule.
	ErrRejected = errors.New("sender: endpoint rejected the delivery")
	// ErrRefused says that the Sender's own policy forbids the delivery. A
	// retry does not help, and the configuration must change.
	ErrRefused = errors.New("sender: refused by policy")
	// ErrForbiddenAddress says that the endpoint's host is, or resolves to, an
	// address that is not public and not opened with [AllowNetworks]. It wraps
	// [ErrRefused].
	ErrForbiddenAddress = fmt.Errorf("%w: forbidden address", ErrRefused)
	// ErrUnsigned says that the endpoint has no signer, or its signer set no
	// header. It wraps [ErrRefused].
	ErrUnsigned = fmt.Errorf("%w: unsigned", ErrRefused)
	// ErrInvalidMessage says that a message can't be sent to any endpoint. Its
	// body is missing or too long, or receivers do not accept its ID. Every
	// *MessageError wraps it.
	ErrInvalidMessage = errors.New("sender: invalid message")
	// ErrClosed says that the Sender was closed.
	ErrClosed = errors.New("sender: closed")
)

// EndpointError says which field of an [Endpoint] is invalid. It wraps
// [ErrRefused], and [ErrForbiddenAddress] or [ErrUnsigned] where they apply.
// Its text shows at most the scheme and host of the URL, and the name of a
// header.
type EndpointError struct {
	// Field is the name of the Endpoint's field: "URL", "Signer", "BodyFormat",
	// "Events", "Header", "Timeout" or "ClientCertificate".
	Field string
	// Reason says what is wrong with it and what to do. It is for the operator,
	// because it may name an address that the host resolved to.
	Reason string

	kind error
	code string // of its Problem, where Field and kind do not tell
}

func (e *EndpointError) Error() string {
	return fmt.Sprintf("%v: Endpoint.%s: %s", e.kind, e.Field, e.Reason)
}

// Unwrap returns ErrRefused or an error that wraps it.
func (e *EndpointError) Unwrap() error { return e.kind }

// as sets the code for customers.
func (e *EndpointError) as(code string) *EndpointError {
	e.code = code
	return e
}

func endpointError(kind error, field, format string, args ...any) *EndpointError {
	return &EndpointError{Field: field, Reason: fmt.Sprintf(format, args...), kind: kind}
}

// MessageError says which field of a [Message] is invalid. It wraps
// [ErrInvalidMessage]. Its text repeats no content.
type MessageError struct {
	// Field is the name of the Message's field: "ID", "Body" or "ContentType".
	Field string
	// Reason says what is wrong with it.
	Reason string
}

func (e *MessageError) Error() string {
	return fmt.Sprintf("%v: Message.%s: %s", ErrInvalidMessage, e.Field, e.Reason)
}

// Unwrap returns ErrInvalidMessage.
func (e *MessageError) Unwrap() error { return ErrInvalidMessage }

// AttemptError says why one attempt did not deliver. It wraps the cause, which
// is a sentinel of this package, an error of package net or crypto/tls, or the
// context's error. Its text shows the scheme and host of the URL only, because
// the rest may be a credential. It repeats nothing from the endpoint except
// certificate names and the host of a redirect.
type AttemptError struct {
	// Endpoint is the scheme and host of the URL.
	Endpoint string
	// Class is the kind of failure.
	Class Class
	// Status is the status code of the answer, or 0 without an answer.
	Status int

	detail string
	cause  error
}

func (e *AttemptError) Error() string {
	var b strings.Builder
	b.WriteString("POST ")
	b.WriteString(e.Endpoint)
	b.WriteString(": ")
	b.WriteString(e.Class.describe())
	if e.detail != "" {
		b.WriteString(": ")
		b.WriteString(e.detail)
	}
	return b.String()
}

// Unwrap returns the cause. It is nil if the answer's status is the only cause.
func (e *AttemptError) Unwrap() error { return e.cause }

// DeliveryError says why [Sender.Send] or [Sender.Deliver] gave up. With
// errors.Is it matches one of the sentinels above or the context's error, and
// the cause of the last attempt's failure.
type DeliveryError struct {
	// Receipt is the record of the delivery, with its attempts.
	Receipt *Receipt
	// Endpoint is the scheme and host of the URL. It is empty if the URL is
	// invalid.
	Endpoint string

	reason error
	last   error
	note   string
	// interrupted says that the last attempt had failed, and something else
	// ended the delivery.
	interrupted bool
}

func (e *DeliveryError) Error() string {
	var b strings.Builder
	if e.reason != nil {
		b.WriteString(e.reason.Error())
	}
	if e.note != "" {
		b.WriteString(": " + e.note)
	}
	switch n := e.Receipt.attempts(); n {
	case 0:
	case 1:
		b.WriteString(" after 1 attempt")
	default:
		fmt.Fprintf(&b, " after %d attempts", n)
	}
	if e.last != nil && e.last != e.reason {
		b.WriteString(": " + e.lastText())
	}
	return b.String()
}

// lastText is the last attempt's error without the words that the reason
// already contains.
func (e *DeliveryError) lastText() string {
	if e.reason == ErrRefused {
		switch last := e.last.(type) {
		case *EndpointError:
			return strings.TrimPrefix(strings.TrimPrefix(last.Error(), ErrRefused.Error()), ": ")
		case *AttemptError:
			if last.Class == ClassPolicy {
				return "POST " + last.Endpoint + ": " + last.detail
			}
		}
	}
	return e.last.Error()
}

// Unwrap returns the reason for giving up and the last attempt's error.
func (e *DeliveryError) Unwrap() []error {
	if e.last == nil || e.last == e.reason {
		return []error{e.reason}
	}
	return []error{e.reason, e.last}
}
