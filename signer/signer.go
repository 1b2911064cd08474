package signer

import (
	"context"
	"net/http"
	"time"
)

// Signer authenticates one attempt of a delivery by setting headers on its
// request.
//
// Sign is called once for each attempt. id is the delivery's ID, the same for
// all its attempts. at is the time of the attempt, and body holds exactly the
// bytes that will be sent. A Signer neither reads nor replaces r.Body. If it
// returns an error, the request must not be sent.
//
// A Signer must be safe for concurrent use with different requests.
//
// # Waiting
//
// ctx is the context of the attempt, and its deadline is the end of the
// attempt's timeout. The schemes of this package compute and do not wait. A
// Signer that calls a service, such as a KMS client, passes ctx on to each call
// and returns the error when ctx ends. It does not use r.Context(), because a
// sender attaches hooks for its own connection there.
//
// A sender waits for Sign no longer than the attempt may take. If Sign has not
// returned shortly after ctx has ended, the attempt fails and is retried as
// any other. The call of Sign keeps its goroutine until it returns, and its
// result is dropped.
//
// # Growth
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces, which a sender looks for by type assertion. There is one
// so far. A Signer with the method CarriesCredential() bool that returns true
// puts a credential into the request, as [Bearer] does. A sender then redacts
// all of its headers.
type Signer interface {
	Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error
}

// Verifier decides whether a received request is authentic. body holds exactly
// the received bytes, and r.Body has been read.
//
// A Verifier returns an error for every request that it does not vouch for. The
// error wraps [ErrUnverified] if the request is not authentic. Any other error
// means that the Verifier could not decide, because a key store is down for
// example. The sender is then asked to try again.
//
// A Verifier must not retain r or body, and must be safe for concurrent use.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces, which a receiver looks for by type assertion. There is
// one so far. A Verifier with the method Tolerance() time.Duration says how far
// a timestamp may lie from now. A receiver then refuses a store that forgets
// deliveries too early.
type Verifier interface {
	Verify(r *http.Request, body []byte) (Verified, error)
}

// Verified holds the facts that a signature proves. Everything else in a
// request, its other headers included, is unproven.
type Verified struct {
	// ID is the delivery ID if the scheme signs one. Otherwise it is empty,
	// whatever headers the request has.
	ID string
	// Timestamp is the signed time of the attempt, or the zero time if the
	// scheme signs no time.
	Timestamp time.Time
	// Principal is the tenant, organization or source that the key belongs to.
	// It stays the same when keys are rotated. It is empty unless the verifier
	// was given one.
	Principal string
	// Key is the name of the key that matched. Log it to see when an old key is
	// no longer in use.
	Key string
}
