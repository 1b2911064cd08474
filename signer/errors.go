package signer

import (
	"errors"
	"fmt"
)

// ErrUnverified is wrapped by every error that says a request is not authentic.
// The more precise errors below wrap it and are for the operator's log. Give
// the sender the same answer for all of them. A different answer would tell a
// forger how far a forgery got.
var ErrUnverified = errors.New("signer: request is not authentic")

// Why a request is not authentic. Each wraps [ErrUnverified].
var (
	// ErrMissingHeader says that a header which the scheme needs is absent.
	ErrMissingHeader = fmt.Errorf("%w: missing header", ErrUnverified)
	// ErrMalformed says that a header is present more than once, or not in the
	// form that the scheme prescribes.
	ErrMalformed = fmt.Errorf("%w: malformed header", ErrUnverified)
	// ErrNoMatch says that the headers are well formed, but no key gives the
	// signature.
	ErrNoMatch = fmt.Errorf("%w: no key matches the signature", ErrUnverified)
	// ErrInvalidAPIKey says that the request has no known key. A receiver's
	// answer names the API key then.
	ErrInvalidAPIKey = fmt.Errorf("%w: invalid or missing API key", ErrUnverified)
	// ErrTooOld says that the timestamp lies further back than the tolerance.
	ErrTooOld = fmt.Errorf("%w: timestamp too old", ErrUnverified)
	// ErrTooNew says that the timestamp lies further ahead than the tolerance.
	ErrTooNew = fmt.Errorf("%w: timestamp too far in the future", ErrUnverified)
)

// ErrInvalidSecret is wrapped by the errors of [ParseSecret] and
// [NewLiteralSecret]. They name the mistake and never the value.
var ErrInvalidSecret = errors.New("signer: invalid secret")

// ErrConfig is wrapped by every error of a scheme's constructor. The text names
// the option and says what to write instead.
var ErrConfig = errors.New("signer: invalid configuration")

// ErrNoActiveKey says that every key that could sign is past its not-after
// time. The request was left unsigned and must not be sent.
var ErrNoActiveKey = errors.New("signer: no active key to sign with")

// ErrInvalidMessage says that the ID or the time to be signed is one that no
// verifier would accept.
var ErrInvalidMessage = errors.New("signer: message can't be signed")
