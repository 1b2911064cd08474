package dedupetest

import (
	"fmt"

	"github.com/deployhook/deployhook/dedupe"
)

// memoryChecks test how long and how much a store remembers.
func memoryChecks() []check {
	return []check{
		{"TTL is the configured one", ttlIsAsked},
		{"completed key is forgotten after the TTL and not before", ttlEnds},
		{"completed keys are never evicted", nothingEvicted},
	}
}

func ttlIsAsked(e *env) {
	if got := e.store.TTL(); got != e.TTL {
		e.failf("TTL is %v, want %v: receivers rely on it to refuse stores that forget too early", got, e.TTL)
	}
}

func ttlEnds(e *env) {
	k := key("ttl")
	c := e.claim(k, e.Lease+e.TTL, "no caller has claimed the key before")
	e.advance(e.Lease / 2)
	e.complete(c)
	e.advance(e.TTL / 2)
	e.completed(k, "the TTL has not passed")
	e.advance(e.TTL - e.TTL/2 - e.Slack)
	e.completed(k, "the TTL, counted from completion, has not passed")
	e.advance(2 * e.Slack)
	again := e.claim(k, e.Lease, "the TTL has passed, even if duplicates arrived meanwhile")
	e.rising(c, again)
	e.inFlight(k, "it was claimed again")
}

func nothingEvicted(e *env) {
	e.use(e.New(e.t, e.amply)) // a slow store may need longer than the TTL for so many
	for i := range e.Remembered {
		e.complete(e.claim(numbered(i), e.amply, "no caller has claimed the key before"))
	}
	for i := range e.Remembered {
		e.expect(e.other, numbered(i), e.amply, dedupe.Completed,
			fmt.Sprintf("it was completed, as were %d others; the store must not forget any of them before the TTL has passed", e.Remembered-1))
	}
}

func numbered(i int) dedupe.Key { return key(fmt.Sprint("number ", i)) }

// bound is the capacity in boundChecks.
const bound = 64

// boundChecks test stores with a capacity.
func boundChecks() []check {
	return []check{
		{"full store refuses new keys and forgets nothing", fullRefuses},
		{"full store has room again after the TTL", fullUntilTTL},
		{"full store has room again when leases end", fullUntilLease},
		{"full store has room again after a release", fullUntilRelease},
	}
}

// fill creates a store with a capacity and claims keys until it is full.
func (e *env) fill(each func(dedupe.Claim)) (held int) {
	e.use(e.NewBounded(e.t, e.TTL, bound))
	for i := range 20 * bound {
		c, err := e.store.Claim(e.ctx, numbered(i), e.Lease)
		if err != nil {
			e.fails("Claim", err, dedupe.ErrFull, "that is the error of a store without room")
			if i < bound {
				e.failf("a store for %d keys is full with %d", bound, i)
			}
			return i
		}
		if c.State != dedupe.Claimed {
			e.failf("Claim returned %v, want claimed: no caller has claimed the key before", c.State)
		}
		each(c)
	}
	e.failf("a store for %d keys accepted %d: it has no limit, or it forgets keys", bound, 20*bound)
	return 0
}

func (e *env) stillFull(held int) {
	for i := range held {
		_, err := e.store.Claim(e.ctx, numbered(held+i), e.Lease)
		e.fails("Claim of a new key", err, dedupe.ErrFull, "nothing has been released, and no lease or TTL has ended")
	}
}

func fullRefuses(e *env) {
	var last dedupe.Claim
	held := e.fill(func(c dedupe.Claim) {
		if last.State == dedupe.Claimed {
			e.complete(last)
		}
		last = c
	})
	e.stillFull(held)
	for i := range held - 1 {
		e.completed(numbered(i), "a full store still recognizes completed keys")
	}
	e.inFlight(last.Key, "a full store does not evict live claims")
	e.ok("Complete", e.store.Complete(e.ctx, last), "it needs no additional room")
	e.completed(last.Key, "it has been handled")
}

func fullUntilTTL(e *env) {
	held := e.fill(func(c dedupe.Claim) { e.complete(c) })
	e.advance(e.TTL - e.Lease)
	e.stillFull(held)
	e.advance(e.Lease + e.Slack)
	for i := range held {
		e.complete(e.claim(numbered(held+i), e.Lease, "the TTL of all keys in the store has passed"))
	}
}

func fullUntilLease(e *env) {
	held := e.fill(func(dedupe.Claim) {})
	e.stillFull(held)
	e.advance(e.Lease + e.Slack)
	for i := range held {
		e.complete(e.claim(numbered(held+i), e.Lease, "all leases in the store have ended"))
	}
}

func fullUntilRelease(e *env) {
	var last dedupe.Claim
	held := e.fill(func(c dedupe.Claim) { last = c })
	e.release(last)
	e.claim(numbered(held), e.Lease, "one claim was released")
	_, err := e.store.Claim(e.ctx, numbered(held+1), e.Lease)
	e.fails("Claim of a new key", err, dedupe.ErrFull, "only one claim was released")
}
