package dedupe

import (
	"context"
	"errors"
	"time"
)

// DefaultTTL is the default time for which a store remembers a completed
// delivery. It exceeds the time to the last retry of common senders, and far
// exceeds twice any sensible tolerance.
const DefaultTTL = 48 * time.Hour

// MinTTL is the smallest TTL that the stores of this module accept. It catches
// a number without a unit, such as 48 instead of 48*time.Hour. A safe TTL is
// much longer, at least twice the receiver's tolerance, which the receiver
// checks.
const MinTTL = time.Second

var (
	// ErrLeaseLost reports that the caller no longer holds the claim. The lease
	// ended, and another caller holds the key or has completed it. The delivery
	// may be or may have been handled twice.
	ErrLeaseLost = errors.New("dedupe: lease lost")

	// ErrFull reports that the store has no room for one more key. A store
	// never forgets a key early to make room, so refuse the delivery and let
	// the sender retry.
	ErrFull = errors.New("dedupe: store is full")

	// ErrClosed reports that the store is closed.
	ErrClosed = errors.New("dedupe: store is closed")

	// ErrInvalid is wrapped by every error about an invalid argument. Examples
	// are a zero [Key], a lease that is not greater than zero, and a [Claim]
	// whose state is not [Claimed].
	ErrInvalid = errors.New("dedupe: invalid argument")
)

// State is the outcome of a [Store.Claim]. The zero State is invalid, so that
// an unset result gives no rights.
type State uint8

const (
	// Claimed means that only this caller may handle the delivery until the
	// lease ends.
	Claimed State = iota + 1
	// InFlight means that another caller holds the claim and its outcome is not
	// known yet.
	InFlight
	// Completed means that the delivery was already handled, so this one is a
	// duplicate.
	Completed
)

// String returns the state's name in lower case, for logs and metrics.
func (s State) String() string {
	switch s {
	case Claimed:
		return "claimed"
	case InFlight:
		return "in-flight"
	case Completed:
		return "completed"
	default:
		return "invalid"
	}
}

// Token is a fencing token. Each later claim of the same key has a greater
// token, even after a release, an expiry or the end of the TTL. A resource that
// remembers the greatest token for a key can refuse the writes of a worker
// whose lease was taken over. Valid tokens are greater than zero.
//
// The stores of this repository start tokens at the time in microseconds.
// Tokens therefore also increase if a store is recreated or replaced by another
// kind.
//
// Token is signed so that every SQL database and Redis can store it.
type Token int64

// Claim is the result of [Store.Claim] and identifies the caller in the other
// methods. It is a plain value that may be copied, compared, and used from any
// goroutine.
type Claim struct {
	// Key is the requested key.
	Key Key
	// State tells what the caller may do.
	State State
	// Token identifies this claim among all claims of the key. It is zero
	// unless State is Claimed.
	Token Token
	// RetryAfter is the time until the current lease ends, greater than zero.
	// It is zero unless State is InFlight. The holder may finish earlier, or
	// renew the lease.
	RetryAfter time.Duration
}

// Store remembers which deliveries are being handled and which were handled.
//
// A key is free, claimed or completed. It becomes free at the moment when the
// lease of its claim ends or the TTL of its completion passes, even if the
// store has not deleted it yet. Only this state determines the result of a
// method, so an implementation need not keep expired claims:
//
//	Method    free          claimed by   claimed by    completed
//	                        the caller   another
//	Claim     Claimed       InFlight     InFlight      Completed
//	Renew     ErrLeaseLost  nil (1)      ErrLeaseLost  ErrLeaseLost
//	Complete  nil (2)       nil (2)      ErrLeaseLost  ErrLeaseLost (3)
//	Release   nil           nil (4)      ErrLeaseLost  ErrLeaseLost
//
//	(1) The lease is extended.
//	(2) The key is completed.
//	(3) It is nil for the claim that completed the key.
//	(4) The key is free.
//
// Each call is atomic. Any number of goroutines, processes and machines may
// share a store. The store's own clock, which is the same for all callers,
// measures leases and TTLs. After a call without an error, its effect is as
// durable as the store.
//
// All errors other than those of this package are failures of the store. The
// caller then does not know whether the call took effect. It can safely repeat
// every call. However, a repeated Claim may find the caller's own lost claim in
// flight until its lease ends.
//
// All methods return the context's error if it ended before the call took
// effect. Complete and Release must run even if the context of the work has
// ended, so call them with [context.WithoutCancel] and a timeout.
//
// Package dedupetest has a conformance suite for implementations.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces, which a caller looks for by type assertion.
type Store interface {
	// Claim requests the sole right to handle the delivery until lease has
	// passed. lease must be greater than zero. [Claim.State] has the result.
	// Exactly one of any number of concurrent callers gets Claimed. A caller
	// who already holds the claim gets InFlight.
	//
	// After an error the caller has no right to handle the delivery. Errors are
	// ErrFull if there is no room for the key, ErrInvalid, ErrClosed, context
	// errors, and failures of the store.
	Claim(ctx context.Context, key Key, lease time.Duration) (Claim, error)

	// Renew changes the end of c's lease, which must not have ended, to lease
	// from now. The new lease may end earlier than the old one. The token stays
	// the same.
	//
	// Errors are ErrLeaseLost, ErrInvalid, ErrClosed, context errors, and
	// failures of the store. ErrLeaseLost means that the lease has ended, even
	// if no other caller has claimed the key since, or that c was completed or
	// released.
	Renew(ctx context.Context, c Claim, lease time.Duration) error

	// Complete remembers the delivery as handled until the TTL has passed from
	// now.
	//
	// A holder whose lease has ended may still complete the key if no other
	// caller holds it or has completed it. The delivery was handled, and
	// forgetting that would only repeat it. Completing a key again with the
	// same claim returns nil and changes nothing, including the TTL.
	//
	// Errors are ErrLeaseLost, ErrFull, ErrInvalid, ErrClosed, context errors,
	// and failures of the store. ErrLeaseLost means that another claim is
	// active or completed, which Complete leaves unchanged. ErrFull means that
	// the lease had ended and its room is taken.
	Complete(ctx context.Context, c Claim) error

	// Release gives up the claim, so that a retry of the delivery can run at
	// once. Releasing a free key returns nil.
	//
	// Errors are ErrLeaseLost, ErrInvalid, ErrClosed, context errors, and
	// failures of the store. ErrLeaseLost means that another claim is active or
	// that any claim has completed the delivery, which Release leaves
	// unchanged.
	Release(ctx context.Context, c Claim) error

	// TTL returns how long a completed delivery is remembered. It is constant
	// for a store. A receiver refuses a store whose TTL is less than twice the
	// tolerance of its verifier, because forgotten deliveries could then be
	// replayed.
	TTL() time.Duration
}
