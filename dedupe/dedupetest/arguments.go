package dedupetest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// argumentChecks test calls that a store must refuse.
func argumentChecks() []check {
	return []check{
		{"zero key is refused", zeroKey},
		{"lease must be greater than zero", noLease},
		{"claims that give no rights are refused", noRights},
		{"ended context is an error and changes nothing", endedContext},
	}
}

func zeroKey(e *env) {
	_, err := e.store.Claim(e.ctx, dedupe.Key{}, e.Lease)
	e.fails("Claim of the zero key", err, dedupe.ErrInvalid, "with a key that was never set, all deliveries would be the same")
}

func noLease(e *env) {
	k := key("no lease")
	for _, lease := range []time.Duration{0, -1, -time.Hour} {
		c, err := e.store.Claim(e.ctx, k, lease)
		e.fails(fmt.Sprintf("Claim with a lease of %v", lease), err, dedupe.ErrInvalid, "such a claim does not keep other callers out")
		if c.State == dedupe.Claimed {
			e.failf("Claim with a lease of %v returned the state claimed with an error: an error gives no rights", lease)
		}
	}
	c := e.claim(k, e.amply, "refused calls leave no trace")
	for _, lease := range []time.Duration{0, -1, -time.Hour} {
		err := e.store.Renew(e.ctx, c, lease)
		e.fails(fmt.Sprintf("Renew with a lease of %v", lease), err, dedupe.ErrInvalid, "such a lease does not keep other callers out")
	}
	e.inFlight(k, "refused calls change nothing")
}

func noRights(e *env) {
	held, done, unclaimed := key("held"), key("done"), key("unclaimed")
	e.claim(held, e.amply, "no caller has claimed the key before")
	e.complete(e.first(done))
	for _, c := range []dedupe.Claim{
		{},
		{Key: unclaimed},
		{Key: unclaimed, State: dedupe.Claimed},
		{Key: unclaimed, State: dedupe.Claimed, Token: -1},
		{Key: unclaimed, Token: 1},
		{State: dedupe.Claimed, Token: 1},
		e.ask(e.store, held, e.Lease),
		e.ask(e.store, done, e.Lease),
	} {
		what := fmt.Sprintf(" with state %v and token %d", c.State, c.Token)
		const why = "only a claim with state claimed gives rights"
		e.fails("Complete"+what, e.store.Complete(e.ctx, c), dedupe.ErrInvalid, why)
		e.fails("Release"+what, e.store.Release(e.ctx, c), dedupe.ErrInvalid, why)
		e.fails("Renew"+what, e.store.Renew(e.ctx, c, e.Lease), dedupe.ErrInvalid, why)
	}
	e.inFlight(held, "refused calls change nothing")
	e.completed(done, "refused calls change nothing")
	e.claim(unclaimed, e.Lease, "refused calls leave no trace")
}

func endedContext(e *env) {
	canceled, cancel := context.WithCancel(e.ctx)
	cancel()
	late, cancel := context.WithDeadline(e.ctx, time.Unix(0, 0))
	defer cancel()
	for i, ctx := range []context.Context{canceled, late} {
		k := numbered(i)
		c, err := e.store.Claim(ctx, k, e.Lease)
		e.ended(ctx, "Claim", err)
		if c.State == dedupe.Claimed {
			e.failf("Claim returned the state claimed with an error: an error gives no rights")
		}
		held := e.claim(k, e.amply, "a call whose context had ended leaves no trace")
		e.ended(ctx, "Complete", e.store.Complete(ctx, held))
		e.inFlight(k, "a Complete whose context had ended changes nothing")
		e.ended(ctx, "Release", e.store.Release(ctx, held))
		e.inFlight(k, "a Release whose context had ended changes nothing")
		e.ended(ctx, "Renew", e.store.Renew(ctx, held, e.Lease))
		if left := e.ask(e.other, k, e.Lease).RetryAfter; left <= e.amply/2 {
			e.failf("a Renew whose context had ended changed the lease to %v", left)
		}
	}
}

func (e *env) ended(ctx context.Context, call string, err error) {
	if !errors.Is(err, ctx.Err()) {
		e.failf("%s: %v, want %q: the context had ended before the call", call, err, ctx.Err())
	}
}
