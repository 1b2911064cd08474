package cdevents

import (
	"errors"
	"strings"

	"github.com/deployhook/deployhook/payload"
)

// Errors of this package. What is wrong with a document's content wraps [payload.ErrInvalid] and is, inside, a
// [payload.ValidationError] that names every member at fault and repeats no value.
var (
	// ErrMismatch says that two parts of one message contradict each other: a CloudEvents attribute and the CDEvent in
	// the body, or the CDEvent and the document in its customData. It comes with [payload.ErrInvalid].
	ErrMismatch = errors.New("cdevents: contradicting parts")

	// ErrBatch says that a message is a batch of CloudEvents, which no receiver has to accept that did not ask for one
	// (HTTP protocol binding 1.0.2, section 3). Answer 415.
	ErrBatch = errors.New("cdevents: batches of CloudEvents are not accepted: send each event in a request of its own")

	// ErrContentType says that a message's Content-Type is not given once, or is neither application/json, for the
	// binary mode, nor application/cloudevents+json, for the structured one. Answer 415.
	ErrContentType = errors.New(
		"cdevents: Content-Type must be application/json (binary mode) or application/cloudevents+json (structured mode)")
)

// IgnoredError is what [Event.Deployment] and [Event.Event] return for a valid
// CDEvent that says nothing of a deployment's status. It wraps [payload.ErrIgnored].
// Acknowledge such a delivery, since a retry would change nothing.
type IgnoredError struct {
	// Type is the event's type. It was checked for its form, but comes from the peer.
	Type string
	// Reason is for people, and repeats nothing from the event.
	Reason string
}

// Error is type and reason.
func (e *IgnoredError) Error() string { return "cdevents: event ignored: " + e.Type + ": " + e.Reason }

// Unwrap makes errors.Is(err, payload.ErrIgnored) hold.
func (e *IgnoredError) Unwrap() error { return payload.ErrIgnored }

// mismatchError is both: a contradiction, and a document that is invalid for it.
type mismatchError struct{ *payload.ValidationError }

func (e mismatchError) Error() string   { return ErrMismatch.Error() + ": " + e.ValidationError.Error() }
func (e mismatchError) Unwrap() []error { return []error{ErrMismatch, e.ValidationError} }

// The messages that several members share.
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

// failures collects what is wrong with one document. The zero value is ready for use.
type failures []payload.Failure

// add notes a failure; only the first one of a path counts.
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

// err returns nil, and not a nil *payload.ValidationError in an interface, when nothing failed.
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

// isClean reports whether s may be the value of a CloudEvents attribute (CloudEvents 1.0.2, section 3.2, "String").
func isClean(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r >= 0x7f && r <= 0x9f || r >= 0xfdd0 && r <= 0xfdef || r&0xfffe == 0xfffe
	})
}
