package dedupetest

import (
	"fmt"

	"github.com/deployhook/deployhook/dedupe"
)

// claimChecks test the results of claims within a short time.
func claimChecks() []check {
	return []check{
		{"first claim is granted", firstClaim},
		{"claimed key is in flight for every caller", claimedIsInFlight},
		{"completed key is a duplicate", completedIsDuplicate},
		{"released key is free at once", releasedIsFree},
		{"tokens rise with every claim", tokensRise},
		{"different deliveries never meet", scope},
		{"keys are compared as a whole", wholeKeys},
		{"calls for one key leave others alone", othersLeftAlone},
	}
}

func firstClaim(e *env) { e.first(key("first")) }

func claimedIsInFlight(e *env) {
	k := key("claimed")
	e.first(k)
	e.inFlight(k, "exactly one caller may hold a claim, and asking again gives not even the holder a second one")
	c := e.ask(e.other, k, 2*e.Lease)
	if c.RetryAfter > e.Lease+e.Slack {
		e.failf("RetryAfter is %v, but the lease of %v ends sooner", c.RetryAfter, e.Lease)
	}
	e.advance(e.Lease / 4)
	// Claims of other callers must not have prolonged the lease either.
	if c = e.ask(e.other, k, 2*e.Lease); c.RetryAfter > e.Lease*3/4+e.Slack {
		e.failf("a quarter of a lease of %v has passed and RetryAfter is %v: it must be the rest of the lease", e.Lease, c.RetryAfter)
	}
}

func completedIsDuplicate(e *env) {
	k := key("completed")
	c := e.first(k)
	e.complete(c)
	e.completed(k, "it has been handled")
	e.advance(e.Lease + e.Slack)
	e.completed(k, "a handled delivery stays handled when the lease would have ended")
}

func releasedIsFree(e *env) {
	k := key("released")
	c := e.first(k)
	e.release(c)
	again := e.claim(k, e.Lease, "it was released, so that a retry runs at once")
	e.inFlight(k, "the retry holds the claim now")
	e.complete(again)
	e.completed(k, "the retry has handled it")
}

func tokensRise(e *env) {
	k := key("tokens")
	last := e.first(k)
	for range 5 {
		e.release(last)
		next := e.claim(k, e.Lease, "it was released")
		e.rising(last, next)
		last = next
	}
	e.advance(e.Lease + e.Slack)
	next := e.claim(k, e.Lease, "the lease has ended")
	e.rising(last, next)
	e.complete(next)
	e.advance(e.TTL + e.Slack)
	e.rising(next, e.claim(k, e.Lease, "the TTL has passed"))
}

func scope(e *env) {
	parts := [][3]string{
		{"a", "bc", "d"},
		{"ab", "c", "d"},
		{"a", "b", "cd"},
		{"abc", "", "d"},
		{"", "abc", "d"},
		{"", "", "abcd"},
		{"abcd", "", ""},
		{"a", "bc", "D"},
		{"a", "bc", "d "},
		{"a", "bc", "d\x00"},
		{"a\x00", "bc", "d"},
		{"a", "d", "bc"},
		{"d", "bc", "a"},
	}
	for _, p := range parts {
		k := dedupe.NewKey(p[0], p[1], p[2])
		c := e.claim(k, e.amply, fmt.Sprintf("source, principal and ID %q have not been seen before; others have", p))
		if p[2] == "d" {
			e.complete(c)
		}
	}
}

// wholeKeys finds stores that use only a part of the key.
func wholeKeys(e *env) {
	k := key("whole")
	e.complete(e.first(k))
	for bit := range 8 * len(k) {
		near := k
		near[bit/8] ^= 1 << (bit % 8)
		e.claim(near, e.Lease, fmt.Sprintf("the key differs, in bit %d", bit))
	}
	e.completed(k, "calls for other keys must not change it")
}

func othersLeftAlone(e *env) {
	held, done := key("held"), key("done")
	c := e.claim(held, e.amply, "no caller has claimed the key before")
	e.complete(e.first(done))
	e.complete(e.first(key("completed")))
	e.release(e.first(key("released")))
	e.ok("Renew", e.store.Renew(e.ctx, e.first(key("renewed")), e.Lease), "the caller holds the claim")
	e.inFlight(held, "only calls for other keys were made")
	e.completed(done, "only calls for other keys were made")
	e.complete(c)
	e.completed(held, "it has been handled")
}
