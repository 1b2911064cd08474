package signer

import (
	"errors"
	"fmt"
)

// ErrUnverified is wrapped by every error that says a request is not authentic.
// The more precise ones below wrap it and are for the operator's log; a peer
// must see the same answer for all of them, since anything else tells a forger
// how far it got.
var ErrUnverified = errors.New("signer: request is not authentic")

// Why a request is not authentic. Each wraps [ErrUnverified].
var (
	// ErrMissingHeader: a header that the scheme needs is absent.
	ErrMissingHeader = fmt.Errorf("%w: missing header", ErrUnverified)
	// ErrMalformed: a header is present more than once, or not in the form
	// that the scheme prescribes.
	ErrMalformed = fmt.Errorf("%w: malformed header", ErrUnverified)
	// ErrNoMatch: the headers are well formed, and no key gives the
	// signature.
	ErrNoMatch = fmt.Errorf("%w: no key matches the signature", ErrUnverified)
	// ErrInvalidAPIKey: no known key is in the request. A receiver answers
	// it in words of its own.
	ErrInvalidAPIKey = fmt.Errorf("%w: invalid or missing API key", ErrUnverified)
	// ErrTooOld: the timestamp lies further back than the tolerance.
	ErrTooOld = fmt.Errorf("%w: timestamp too old", ErrUnverified)
	// ErrTooNew: the timestamp lies further ahead than the tolerance.
	ErrTooNew = fmt.Errorf("%w: timestamp too far in the future", ErrUnverified)
)

// ErrInvalidSecret is wrapped by the errors of [ParseSecret] and
// [NewLiteralSecret]. They name the mistake and never the value.
var ErrInvalidSecret = errors.New("signer: invalid secret")

// ErrConfig is wrapped by every error of a scheme's constructor. The text names
// the option at fault.
var ErrConfig = errors.New("signer: invalid configuration")

// ErrNoActiveKey: every key that could sign is past its not-after time. The
// request was left unsigned and must not be sent.
var ErrNoActiveKey = errors.New("signer: no active key to sign with")

// ErrInvalidMessage: what was to be signed can't be: an ID or a time that no
// verifier would accept.
var ErrInvalidMessage = errors.New("signer: message can't be signed")
