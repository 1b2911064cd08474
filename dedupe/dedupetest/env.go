package dedupetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// env gives a check a new store and helpers that describe the expected results.
type env struct {
	Config
	t       testing.TB
	ctx     context.Context
	store   dedupe.Store
	other   dedupe.Store
	advance func(time.Duration)
	// amply is a lease that no check outlasts, for claims that should not end
	// during the check.
	amply time.Duration
}

func newEnv(t testing.TB, c Config) *env {
	e := &env{Config: c, t: t, ctx: t.Context(), amply: max(10*time.Minute, 10*c.Lease)}
	e.use(c.New(t, c.TTL))
	return e
}

func (e *env) use(s Subject) {
	e.store, e.other, e.advance = s.Store, s.Other, s.Advance
	if e.other == nil {
		e.other = s.Store
	}
	if e.advance == nil {
		e.advance = time.Sleep
	}
}

// failf ends the check. Call it on the check's own goroutine.
func (e *env) failf(format string, args ...any) {
	panic(failuref(format, args...))
}

// key returns the key of an ordinary delivery.
func key(id string) dedupe.Key { return dedupe.NewKey("suite", "tenant", id) }

// ask claims a key and returns any valid result.
func (e *env) ask(s dedupe.Store, k dedupe.Key, lease time.Duration) dedupe.Claim {
	c, err := s.Claim(e.ctx, k, lease)
	if err != nil {
		e.failf("Claim: %v; an open store with room must not return an error", err)
	}
	if problem := malformed(c, k); problem != "" {
		e.failf("Claim returned %+v: %s", c, problem)
	}
	return c
}

// malformed returns what is wrong with a result on its own.
func malformed(c dedupe.Claim, k dedupe.Key) string {
	switch {
	case c.Key != k:
		return "Key must be the requested one"
	case c.State != dedupe.Claimed && c.State != dedupe.InFlight && c.State != dedupe.Completed:
		return "State must be Claimed, InFlight or Completed"
	case c.State == dedupe.Claimed && c.Token <= 0:
		return "the token of a granted claim must be greater than zero"
	case c.State != dedupe.Claimed && c.Token != 0:
		return "only a granted claim may have a token"
	case c.State == dedupe.InFlight && c.RetryAfter <= 0:
		return "RetryAfter of a delivery in flight must be greater than zero"
	case c.State != dedupe.InFlight && c.RetryAfter != 0:
		return "RetryAfter is only for deliveries in flight"
	}
	return ""
}

// expect claims a key and requires one result. why is the rule behind it.
func (e *env) expect(s dedupe.Store, k dedupe.Key, lease time.Duration, want dedupe.State, why string) dedupe.Claim {
	c := e.ask(s, k, lease)
	if c.State != want {
		e.failf("Claim returned %v, want %v: %s", c.State, want, why)
	}
	return c
}

// claim claims a key that must be free.
func (e *env) claim(k dedupe.Key, lease time.Duration, why string) dedupe.Claim {
	return e.expect(e.store, k, lease, dedupe.Claimed, why)
}

// first claims a key for the first time.
func (e *env) first(k dedupe.Key) dedupe.Claim {
	return e.claim(k, e.Lease, "no caller has claimed the key before")
}

// inFlight requires that both instances report the key as in flight.
func (e *env) inFlight(k dedupe.Key, why string) {
	e.expect(e.store, k, e.Lease, dedupe.InFlight, why)
	e.expect(e.other, k, e.Lease, dedupe.InFlight, why)
}

// completed requires that both instances report the key as completed.
func (e *env) completed(k dedupe.Key, why string) {
	e.expect(e.store, k, e.Lease, dedupe.Completed, why)
	e.expect(e.other, k, e.Lease, dedupe.Completed, why)
}

// succeed claims a key, lets the lease end, and has another instance take it
// over. It returns both claims.
func (e *env) succeed(k dedupe.Key) (slow, successor dedupe.Claim) {
	slow = e.first(k)
	e.advance(e.Lease + e.Slack)
	successor = e.expect(e.other, k, e.amply, dedupe.Claimed, "the lease has ended, so another caller may take the delivery over")
	e.rising(slow, successor)
	return slow, successor
}

func (e *env) rising(earlier, later dedupe.Claim) {
	if later.Token <= earlier.Token {
		e.failf("a later claim has token %d after token %d: each later claim of a key needs a greater token, "+
			"or a slow worker cannot be distinguished from its successor", later.Token, earlier.Token)
	}
}

func (e *env) complete(c dedupe.Claim) {
	e.ok("Complete", e.store.Complete(e.ctx, c), "the caller holds the claim")
}

func (e *env) release(c dedupe.Claim) {
	e.ok("Release", e.store.Release(e.ctx, c), "the caller holds the claim")
}

// ok requires that a call succeeded.
func (e *env) ok(call string, err error, why string) {
	if err != nil {
		e.failf("%s: %v, want no error: %s", call, err, why)
	}
}

// fails requires that a call failed with the given error.
func (e *env) fails(call string, err, want error, why string) {
	if !errors.Is(err, want) {
		e.failf("%s: %v, want %q: %s", call, err, want, why)
	}
}

// lost requires that a call failed because the caller does not hold the key.
func (e *env) lost(call string, err error, why string) {
	e.fails(call, err, dedupe.ErrLeaseLost, why)
}
