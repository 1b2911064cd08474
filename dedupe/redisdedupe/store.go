package redisdedupe

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/deployhook/deployhook/dedupe"
)

// Store is a [dedupe.Store] in Redis. All instances of a service with the same
// server and prefix share it.
//
// The server's clock measures leases and TTLs. They are rounded up to
// milliseconds and limited to 100 years. The store has no goroutine, and the
// caller owns the client.
//
// Calls end at their context's deadline. If the context is canceled earlier, a
// call may still wait for the answer until the client's own ReadTimeout, 3
// seconds by default. A call returns an answer that has arrived even if the
// context has ended.
//
// All methods are safe for concurrent use.
type Store struct {
	client redis.UniversalClient
	prefix string
	ttl    time.Duration
	closed atomic.Bool
}

var _ dedupe.Store = (*Store)(nil)

// New returns a store in the Redis to which client is connected. By default it
// remembers deliveries for [dedupe.DefaultTTL] in keys that begin with
// [DefaultPrefix].
//
// The client may use a single server, Sentinel or a Cluster, and must have
// ContextTimeoutEnabled set. See [InsecureRing] for a Ring. New does not
// connect. Call [Store.Ready] when the service starts.
//
// The error names all configuration mistakes and wraps [ErrConfig].
func New(client redis.UniversalClient, opts ...Option) (*Store, error) {
	c, err := newConfig(client, opts)
	if err != nil {
		return nil, err
	}
	return &Store{client: client, prefix: c.prefix, ttl: c.ttl}, nil
}

// errEmpty is the error of a Store that was not created with New.
var errEmpty = fmt.Errorf("%w: redisdedupe: the Store is empty; create it with New", dedupe.ErrInvalid)

func (s *Store) empty() bool { return s == nil || s.client == nil }

// Close closes the store, but not the client. It does not wait. Later calls
// return [dedupe.ErrClosed], so that no delivery is handled without protection.
//
// Closing again, or closing a nil or zero Store, does nothing. The error is
// always nil.
func (s *Store) Close() error {
	if !s.empty() {
		s.closed.Store(true)
	}
	return nil
}

// usable returns an error if the store was closed or was not created with
// [New].
func (s *Store) usable() error {
	switch {
	case s.empty():
		return errEmpty
	case s.closed.Load():
		return dedupe.ErrClosed
	}
	return nil
}

// TTL implements [dedupe.Store]. It returns zero for a Store that was not
// created with [New].
func (s *Store) TTL() time.Duration {
	if s.empty() {
		return 0
	}
	return s.ttl
}

// Claim implements [dedupe.Store].
func (s *Store) Claim(ctx context.Context, key dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	if err := s.usable(); err != nil {
		return dedupe.Claim{}, err
	}
	if err := checkLease(ctx, key, lease); err != nil {
		return dedupe.Claim{}, err
	}
	nonce := strconv.FormatUint(rand.Uint64(), 36)
	n, err := s.run(ctx, "claim", scripts.claim, key, nonce, micros(lease), millis(lease)+millis(s.ttl))
	switch {
	case err != nil:
		return dedupe.Claim{}, err
	case n > completed:
		return dedupe.Claim{Key: key, State: dedupe.Claimed, Token: dedupe.Token(n)}, nil
	case n == completed:
		return dedupe.Claim{Key: key, State: dedupe.Completed}, nil
	case n < 0:
		return dedupe.Claim{Key: key, State: dedupe.InFlight, RetryAfter: time.Duration(-n) * time.Microsecond}, nil
	}
	return dedupe.Claim{}, unexpected("claim", n)
}

// Renew implements [dedupe.Store].
func (s *Store) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := checkClaim(ctx, c); err != nil {
		return err
	}
	if err := checkLease(ctx, c.Key, lease); err != nil {
		return err
	}
	return s.settle(ctx, "renew", scripts.renew, c, micros(lease), millis(lease)+millis(s.ttl))
}

// Complete implements [dedupe.Store].
func (s *Store) Complete(ctx context.Context, c dedupe.Claim) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := checkClaim(ctx, c); err != nil {
		return err
	}
	return s.settle(ctx, "complete", scripts.complete, c, millis(s.ttl))
}

// Release implements [dedupe.Store].
func (s *Store) Release(ctx context.Context, c dedupe.Claim) error {
	if err := s.usable(); err != nil {
		return err
	}
	if err := checkClaim(ctx, c); err != nil {
		return err
	}
	return s.settle(ctx, "release", scripts.release, c, millis(s.ttl))
}

// settle runs a script that changes the claim of a holder.
func (s *Store) settle(ctx context.Context, call string, script *script, c dedupe.Claim, args ...any) error {
	n, err := s.run(ctx, call, script, c.Key, append([]any{int64(c.Token)}, args...)...)
	switch {
	case err != nil:
		return err
	case n == done:
		return nil
	case n == lost:
		return dedupe.ErrLeaseLost
	}
	return unexpected(call, n)
}

// unexpected is an error for an answer that no script gives.
func unexpected(call string, n int64) error {
	return fmt.Errorf("redisdedupe: %s: the script returned the unknown answer %d", call, n)
}

// run runs a script on the key's record.
func (s *Store) run(ctx context.Context, call string, script *script, key dedupe.Key, args ...any) (int64, error) {
	n, err := script.run(ctx, s.client, s.prefix+string(key[:]), args...)
	switch {
	case err == nil:
		return n, nil
	case redis.IsOOMError(err):
		return 0, fmt.Errorf("%w: Redis has reached its maxmemory; raise it, or shorten the TTL", dedupe.ErrFull)
	}
	return 0, failure(ctx, call, err)
}

// failure wraps an error of the client. Client errors contain hosts, ports and
// texts of the server, but no credentials.
func failure(ctx context.Context, call string, err error) error {
	ended := ctx.Err()
	if deadline, ok := ctx.Deadline(); ended == nil && ok && !time.Now().Before(deadline) {
		// The connection's own timer for that deadline fired first.
		ended = context.DeadlineExceeded
	}
	switch {
	case ended != nil && !errors.Is(err, ended):
		return fmt.Errorf("redisdedupe: %s: %w: %w", call, ended, err)
	case errors.Is(err, redis.ErrClosed):
		return fmt.Errorf("redisdedupe: %s: %w: %w", call, dedupe.ErrClosed, err)
	}
	if r := remedy(err); r != "" {
		return fmt.Errorf("redisdedupe: %s: %w; %s", call, err, r)
	}
	return fmt.Errorf("redisdedupe: %s: %w", call, err)
}

// longest limits durations so that their sums are exact in Lua numbers and in
// Redis expiries.
const longest = 100 * 365 * 24 * time.Hour

// millis returns d in milliseconds. It rounds up, so that nothing ends early
// and no lease is zero.
func millis(d time.Duration) int64 {
	return int64((min(d, longest) + time.Millisecond - 1) / time.Millisecond)
}

func micros(d time.Duration) int64 { return millis(d) * 1000 }

func checkLease(ctx context.Context, key dedupe.Key, lease time.Duration) error {
	switch {
	case lease <= 0:
		return fmt.Errorf("%w: the lease is %v; it must be greater than zero, and longer than the handler takes", dedupe.ErrInvalid, lease)
	case key == dedupe.Key{}:
		return fmt.Errorf("%w: the key is zero; create it with NewKey", dedupe.ErrInvalid)
	}
	return ctx.Err()
}

func checkClaim(ctx context.Context, c dedupe.Claim) error {
	if c.State != dedupe.Claimed || c.Token <= 0 || c.Key == (dedupe.Key{}) {
		return fmt.Errorf("%w: the claim has state %v and token %d, but must be one that Store.Claim returned "+
			"with state claimed", dedupe.ErrInvalid, c.State, c.Token)
	}
	return ctx.Err()
}
