package dedupetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// env is what a check works with: a fresh store, and words for what is expected of it.
type env struct {
	Config
	t       testing.TB
	ctx     context.Context
	store   dedupe.Store
	other   dedupe.Store
	advance func(time.Duration)
	amply   time.Duration // a lease that nobody outlasts, for claims that should not end by themselves
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

// failf ends the check. It must be called on the check's own goroutine.
func (e *env) failf(format string, args ...any) {
	panic(failuref(format, args...))
}

// key returns the key of a delivery like any other.
func key(id string) dedupe.Key { return dedupe.NewKey("suite", "tenant", id) }

// ask claims and expects an answer, whichever it is.
func (e *env) ask(s dedupe.Store, k dedupe.Key, lease time.Duration) dedupe.Claim {
	c, err := s.Claim(e.ctx, k, lease)
	if err != nil {
		e.failf("Claim: %v; an open store with room answers without an error", err)
	}
	if problem := malformed(c, k); problem != "" {
		e.failf("Claim answered %+v: %s", c, problem)
	}
	return c
}

// malformed says what is wrong with an answer by itself.
func malformed(c dedupe.Claim, k dedupe.Key) string {
	switch {
	case c.Key != k:
		return "Key must be the one that was asked for"
	case c.State != dedupe.Claimed && c.State != dedupe.InFlight && c.State != dedupe.Completed:
		return "State must be Claimed, InFlight or Completed"
	case c.State == dedupe.Claimed && c.Token <= 0:
		return "a claim has a token greater than zero"
	case c.State != dedupe.Claimed && c.Token != 0:
		return "only a caller who got the claim may be given a token"
	case c.State == dedupe.InFlight && c.RetryAfter <= 0:
		return "RetryAfter of a delivery in flight must be greater than zero"
	case c.State != dedupe.InFlight && c.RetryAfter != 0:
		return "RetryAfter is only for deliveries in flight"
	}
	return ""
}

// expect claims and expects one answer; why is the rule that asks for it.
func (e *env) expect(s dedupe.Store, k dedupe.Key, lease time.Duration, want dedupe.State, why string) dedupe.Claim {
	c := e.ask(s, k, lease)
	if c.State != want {
		e.failf("Claim answered %v, want %v: %s", c.State, want, why)
	}
	return c
}

// claim takes a claim that must be free.
func (e *env) claim(k dedupe.Key, lease time.Duration, why string) dedupe.Claim {
	return e.expect(e.store, k, lease, dedupe.Claimed, why)
}

// first takes the first claim of a key.
func (e *env) first(k dedupe.Key) dedupe.Claim {
	return e.claim(k, e.Lease, "nobody has claimed the key before")
}

// inFlight expects that somebody holds the key, as both instances see it.
func (e *env) inFlight(k dedupe.Key, why string) {
	e.expect(e.store, k, e.Lease, dedupe.InFlight, why)
	e.expect(e.other, k, e.Lease, dedupe.InFlight, why)
}

// completed expects that the key is remembered, as both instances see it.
func (e *env) completed(k dedupe.Key, why string) {
	e.expect(e.store, k, e.Lease, dedupe.Completed, why)
	e.expect(e.other, k, e.Lease, dedupe.Completed, why)
}

// succeed claims a key and lets the lease end, has another instance take it over, and returns both claims.
func (e *env) succeed(k dedupe.Key) (slow, successor dedupe.Claim) {
	slow = e.first(k)
	e.advance(e.Lease + e.Slack)
	successor = e.expect(e.other, k, e.amply, dedupe.Claimed, "the lease has ended, so another caller may take the delivery over")
	e.rising(slow, successor)
	return slow, successor
}

func (e *env) rising(earlier, later dedupe.Claim) {
	if later.Token <= earlier.Token {
		e.failf("token %d of a later claim follows token %d: each later claim of a key needs a greater one, "+
			"or a slow worker cannot be told from its successor", later.Token, earlier.Token)
	}
}

func (e *env) complete(c dedupe.Claim) {
	e.ok("Complete", e.store.Complete(e.ctx, c), "the caller holds the claim")
}

func (e *env) release(c dedupe.Claim) {
	e.ok("Release", e.store.Release(e.ctx, c), "the caller holds the claim")
}

// ok expects a call to have succeeded.
func (e *env) ok(call string, err error, why string) {
	if err != nil {
		e.failf("%s: %v, want no error: %s", call, err, why)
	}
}

// fails expects a call to have failed in one way.
func (e *env) fails(call string, err, want error, why string) {
	if !errors.Is(err, want) {
		e.failf("%s: %v, want %q: %s", call, err, want, why)
	}
}

// lost expects a call to have failed because the caller does not hold the key.
func (e *env) lost(call string, err error, why string) {
	e.fails(call, err, dedupe.ErrLeaseLost, why)
}
