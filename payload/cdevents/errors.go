package cdevents

import (
	"errors"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// Errors of this package. An error about a document's content wraps
// [payload.ErrInvalid] and contains a [payload.ValidationError]. That names
// every invalid member and repeats no value.
var (
	// ErrMismatch reports that two parts of one message contradict each other.
	// These are either a CloudEvents attribute and the CDEvent in the body, or
	// the CDEvent and the document in its customData. The error also wraps
	// [payload.ErrInvalid].
	ErrMismatch = errors.New("cdevents: parts of the message contradict each other")

	// ErrBatch reports that a message is a batch of CloudEvents. A receiver
	// need not accept batches that it did not ask for (HTTP protocol binding
	// 1.0.2, section 3). Answer 415.
	ErrBatch = errors.New("cdevents: batches of CloudEvents are not accepted; send each event in a separate request")

	// ErrContentType reports that a message has no Content-Type, several, or an
	// unsupported one. The binary mode needs application/json, and the
	// structured mode application/cloudevents+json. Answer 415.
	ErrContentType = errors.New(
		"cdevents: Content-Type must be application/json (binary mode) or application/cloudevents+json (structured mode)")
)

// IgnoredError is the error of [Event.Deployment] and [Event.Event] for a valid
// CDEvent that does not report the status of a deployment. It wraps
// [payload.ErrIgnored]. Acknowledge such a delivery, because a retry would
// change nothing.
type IgnoredError struct {
	// Type is the event's type. Its format was checked, but the sender chose
	// it.
	Type string
	// Reason is a text for people. It repeats nothing from the event.
	Reason string
}

// Error returns the type and the reason.
func (e *IgnoredError) Error() string { return "cdevents: event ignored: " + e.Type + ": " + e.Reason }

// Unwrap makes errors.Is(err, payload.ErrIgnored) true.
func (e *IgnoredError) Unwrap() error { return payload.ErrIgnored }

// mismatchError reports a document that is invalid because of a contradiction.
type mismatchError struct{ *payload.ValidationError }

func (e mismatchError) Error() string   { return ErrMismatch.Error() + ": " + e.ValidationError.Error() }
func (e mismatchError) Unwrap() []error { return []error{ErrMismatch, e.ValidationError} }

// Messages that several members share.
const (
	isRequired    = "is required"
	notAString    = "must be a string"
	cleanText     = "must not contain control characters or noncharacters, which CloudEvents forbid"
	uriReference  = "must be a URI-reference (RFC 3986), with anything but ASCII percent-encoded"
	packageURL    = "must be a package URL such as pkg:generic/app@1.0.0"
	rfc3339       = "must be a date and time in RFC 3339"
	differsFrom   = "must be equal to the body's "
	mustBeObject  = "must be an object"
	onceOnly      = "must be given only once"
	percentEncode = "must be printable ASCII with valid percent-encoding of valid UTF-8"
)

// failures collects the failures of one document. The zero value is ready for
// use.
type failures []payload.Failure

// add records a failure. Only the first failure of a path counts.
func (f *failures) add(path, message string) {
	for _, seen := range *f {
		if seen.Path == path {
			return
		}
	}
	*f = append(*f, payload.Failure{Path: path, Message: message})
}

func (f *failures) require(path, value string) {
	if value == "" {
		f.add(path, isRequired)
	}
}

// err returns nil if there are no failures. It does not return a nil
// *payload.ValidationError as an error, which would not equal nil.
func (f failures) err() error {
	if len(f) == 0 {
		return nil
	}
	return &payload.ValidationError{Failures: f}
}

func invalid(path, message string) error {
	return &payload.ValidationError{Failures: []payload.Failure{{Path: path, Message: message}}}
}

func mismatch(f failures) error {
	if len(f) == 0 {
		return nil
	}
	return mismatchError{&payload.ValidationError{Failures: f}}
}

// isClean reports whether s can be the value of a CloudEvents attribute
// (CloudEvents 1.0.2, section 3.2, "String").
func isClean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
	})
}
