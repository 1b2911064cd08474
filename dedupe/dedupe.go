package dedupe

import (
	"context"
	"errors"
	"time"
)

// DefaultTTL is how long a store remembers a completed delivery unless it is told otherwise: longer than the last
// retry of the common senders, and far more than twice any sensible tolerance.
const DefaultTTL = 48 * time.Hour

// MinTTL is the least TTL that a store of this module accepts. It is there to catch a number without a unit, such as
// 48 for 48*time.Hour. What a receiver needs for its safety is much more, twice its tolerance, and it checks that itself.
const MinTTL = time.Second

var (
	// ErrLeaseLost says that the claim is not the caller's any more: its lease ended and another caller holds the key or
	// has completed it. What the caller did for the delivery may be done a second time, or has been.
	ErrLeaseLost = errors.New("dedupe: lease lost")

	// ErrFull says that the store has no room for one more key. It never makes room by forgetting what it promised to
	// remember, so the delivery must be refused and sent again later.
	ErrFull = errors.New("dedupe: store is full")

	// ErrClosed says that the store has been closed.
	ErrClosed = errors.New("dedupe: store is closed")

	// ErrInvalid is wrapped by every error that is the caller's mistake: a zero [Key], a lease that is not greater than
	// zero, or a [Claim] that does not give the right to anything because its state is not [Claimed].
	ErrInvalid = errors.New("dedupe: invalid argument")
)

// State is the outcome of a [Store.Claim]. The zero State is none of them, so that a forgotten result gives no rights.
type State uint8

const (
	// Claimed means that the caller, and nobody else, may handle the delivery until the lease ends.
	Claimed State = iota + 1
	// InFlight means that another caller holds the claim; whether it will succeed is not known yet.
	InFlight
	// Completed means that the delivery was handled already: this one is a duplicate.
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

// Token is a fencing token. It is greater than zero, and greater for each later claim of the same key, also after a
// release, an expiry or the end of the TTL. A resource that keeps the greatest token it has seen for a key can refuse
// the writes of a worker whose lease was taken over.
//
// The stores of this repository begin with the time in microseconds, so that
// tokens also rise when a store starts anew or another one takes its place.
//
// It is signed so that every SQL database and Redis can hold it.
type Token int64

// Claim is the answer of [Store.Claim], and what the other methods take to know on whose behalf they act.
// It is a plain value: it may be copied, compared, and used from any goroutine.
type Claim struct {
	// Key is the key that was asked for.
	Key Key
	// State says what the caller may do.
	State State
	// Token tells this claim from every other one of the same key. It is zero unless State is Claimed.
	Token Token
	// RetryAfter is how long until the present lease ends, greater than zero. It is zero unless State is InFlight.
	// The holder may be done sooner, or renew.
	RetryAfter time.Duration
}

// Store remembers which deliveries are being handled, and which have been.
//
// A key is in one of three states: free, claimed, or completed. A claim whose lease has ended counts for nothing
// from that moment, and neither does a completion whose TTL has passed: the key is free, whether or not the
// store has cleaned up yet. All methods decide by that state alone, so an implementation need not keep expired claims:
//
//	         | free       | claimed by the caller | claimed by another | completed
//	Claim    | Claimed    | InFlight              | InFlight           | Completed
//	Renew    | ErrLeaseLost | nil, lease extended | ErrLeaseLost       | ErrLeaseLost
//	Complete | nil, completed | nil, completed    | ErrLeaseLost       | nil with the token that completed it, else ErrLeaseLost
//	Release  | nil        | nil, free             | ErrLeaseLost       | ErrLeaseLost
//
// Each call is atomic, and any number of goroutines, processes and machines that share a store may call it at the same time.
// The clock that leases and TTL are measured with is the store's, the same one for all its callers.
// What has been answered without an error is kept, to the store's own durability.
//
// Errors other than the ones in this package are the store's failures. A caller who gets one does not know
// whether the call took effect; every call can safely be repeated, except that a repeated Claim may find
// the caller's own lost claim in flight until its lease ends.
//
// All methods return the context's error if it ended before the call took effect. Complete and Release
// are owed even when the work's own context has ended, so call them with [context.WithoutCancel] and a timeout.
//
// The package dedupetest has a conformance suite for implementations.
type Store interface {
	// Claim asks for the sole right to handle the delivery until lease, which must be greater than zero, has passed.
	// The answer is in [Claim.State]; exactly one of any number of callers gets Claimed. A caller who already holds the
	// claim gets InFlight like everybody else.
	//
	// Errors: ErrFull if there is no room for the key (send it again later), ErrInvalid, ErrClosed, context errors,
	// failures of the store. With any of them the caller has no right to handle the delivery.
	Claim(ctx context.Context, key Key, lease time.Duration) (Claim, error)

	// Renew makes the lease of c, which must still be running, end when lease has passed from now.
	// It keeps the token. A lease may be made shorter.
	//
	// Errors: ErrLeaseLost if the lease has ended, whether or not anybody has claimed the key since, or if c has been
	// completed or released; ErrInvalid, ErrClosed, context errors, failures of the store.
	Renew(ctx context.Context, c Claim, lease time.Duration) error

	// Complete remembers the delivery as handled until the TTL has passed from now.
	//
	// A holder whose lease has ended may still complete if nobody else holds the key or has completed it: the delivery
	// has been handled, and forgetting it would only make it happen again. Completing again with the same claim
	// changes nothing, neither does it prolong the TTL, and returns nil.
	//
	// Errors: ErrLeaseLost if another claim is running or has been completed, which is left as it is; ErrFull if the lease
	// had ended and its room is taken; ErrInvalid, ErrClosed, context errors, failures of the store.
	Complete(ctx context.Context, c Claim) error

	// Release gives the claim up, so that a retry of the delivery may run at once.
	// Releasing a key that is free already returns nil.
	//
	// Errors: ErrLeaseLost if another claim is running or if the delivery has been completed, by whomever, which is left
	// as it is; ErrInvalid, ErrClosed, context errors, failures of the store.
	Release(ctx context.Context, c Claim) error

	// TTL is how long a completed delivery is remembered. It never changes during a store's life.
	// A receiver refuses a store whose TTL is less than twice the tolerance of its verifier: what it had forgotten could
	// be replayed.
	TTL() time.Duration
}
