package dedupetest

import "github.com/deployhook/deployhook/dedupe"

// leaseChecks test when leases end, and what a holder may do before and after.
func leaseChecks() []check {
	return []check{
		{"lease keeps others out until it ends", leaseEnds},
		{"lease is each claim's own", leasesDiffer},
		{"renewal keeps others out", renewalHolds},
		{"renewal can shorten a lease", renewalShortens},
		{"renewal does not revive an ended lease", noRevival},
		{"renewal of a completed or released claim fails", renewalTooLate},
		{"late completion counts without a successor", lateCompletion},
		{"late completion counts if the successor released the key", lateCompletionAfterRelease},
		{"late release is harmless", lateRelease},
		{"completion can be repeated", repeatedCompletion},
		{"release can be repeated", repeatedRelease},
		{"release does not undo completion", releaseAfterCompletion},
	}
}

func leaseEnds(e *env) {
	k := key("lease")
	first := e.first(k)
	e.advance(e.Lease - e.Slack)
	e.inFlight(k, "the lease has not ended yet")
	e.advance(2 * e.Slack)
	next := e.expect(e.other, k, e.amply, dedupe.Claimed,
		"the lease has ended without completion: its holder may have crashed, and the event must not be lost")
	e.rising(first, next)
	e.inFlight(k, "the successor holds the claim")
}

func leasesDiffer(e *env) {
	long, short := key("long"), key("short")
	e.claim(long, 4*e.Lease, "no caller has claimed the key before")
	e.claim(short, e.Lease, "no caller has claimed the key before")
	e.advance(e.Lease + e.Slack)
	e.inFlight(long, "its lease is the longer one")
	e.claim(short, e.amply, "its lease has ended")
	e.advance(3 * e.Lease)
	e.claim(long, e.amply, "its lease has ended")
}

func renewalHolds(e *env) {
	k := key("renewed")
	c := e.first(k)
	e.advance(e.Lease / 2)
	e.ok("Renew", e.store.Renew(e.ctx, c, 4*e.Lease), "the lease has not ended")
	e.advance(e.Lease/2 + e.Slack)
	e.inFlight(k, "the lease was renewed")
	e.advance(2 * e.Lease)
	e.ok("Renew", e.store.Renew(e.ctx, c, 2*e.Lease), "the lease was renewed before, with the same claim")
	e.advance(e.Lease + e.Lease/2)
	e.inFlight(k, "the lease was renewed again, from the time of the call")
	e.advance(e.Lease/2 + e.Slack)
	next := e.claim(k, e.amply, "the renewed lease has ended")
	e.rising(c, next)
	e.complete(next)
}

func renewalShortens(e *env) {
	k := key("shortened")
	c := e.claim(k, 8*e.Lease, "no caller has claimed the key before")
	e.ok("Renew", e.store.Renew(e.ctx, c, e.Lease), "the lease has not ended")
	e.inFlight(k, "the lease has not ended yet")
	e.advance(e.Lease + e.Slack)
	e.claim(k, e.amply, "the lease was shortened")
}

func noRevival(e *env) {
	k := key("ended")
	c := e.first(k)
	e.advance(e.Lease + e.Slack)
	e.lost("Renew", e.store.Renew(e.ctx, c, e.amply),
		"the lease has ended; other callers may have claimed and released the key since, so the token may no longer be the greatest")
	e.claim(k, e.Lease, "a failed renewal does not keep other callers out")
}

func renewalTooLate(e *env) {
	done, given := key("done"), key("given up")
	c := e.first(done)
	e.complete(c)
	e.lost("Renew", e.store.Renew(e.ctx, c, e.amply), "the delivery is completed, there is no lease")
	e.completed(done, "a failed renewal does not undo it")

	c = e.first(given)
	e.release(c)
	e.lost("Renew", e.store.Renew(e.ctx, c, e.amply), "the claim was released")
	e.claim(given, e.Lease, "a failed renewal does not keep other callers out")
}

func lateCompletion(e *env) {
	k := key("late")
	c := e.first(k)
	e.advance(e.Lease + e.Slack)
	e.ok("Complete", e.store.Complete(e.ctx, c),
		"no caller has taken over the delivery, and it was handled: forgetting that would only repeat it")
	e.completed(k, "it was completed, although late")
}

func lateCompletionAfterRelease(e *env) {
	k := key("late after release")
	slow, successor := e.succeed(k)
	e.ok("Release", e.other.Release(e.ctx, successor), "the successor holds the claim")
	e.ok("Complete", e.store.Complete(e.ctx, slow), "no caller holds the key, and the delivery was handled")
	e.completed(k, "it was completed, although late")
}

func lateRelease(e *env) {
	k := key("late release")
	c := e.first(k)
	e.advance(e.Lease + e.Slack)
	e.ok("Release", e.store.Release(e.ctx, c), "no caller holds the key, which is the purpose of the call")
	e.rising(c, e.claim(k, e.Lease, "no caller holds the key"))
}

func repeatedCompletion(e *env) {
	k := key("twice")
	c := e.first(k)
	e.complete(c)
	e.ok("Complete, again", e.store.Complete(e.ctx, c), "the same claim has completed it already")
	e.advance(e.TTL / 2)
	e.ok("Complete, again", e.other.Complete(e.ctx, c), "the same claim has completed it already")
	e.completed(k, "it has been handled")
	e.advance(e.TTL/2 + e.Slack)
	e.claim(k, e.Lease, "the TTL counts from the first completion")
}

func repeatedRelease(e *env) {
	k := key("released twice")
	c := e.first(k)
	e.release(c)
	e.ok("Release, again", e.store.Release(e.ctx, c), "no caller holds the key, which is the purpose of the call")
	next := e.claim(k, e.amply, "no caller holds the key")
	e.lost("Release, a third time", e.store.Release(e.ctx, c), "another caller holds the key now")
	e.inFlight(k, "a failed release does not free it")
	e.complete(next)
}

func releaseAfterCompletion(e *env) {
	k := key("done")
	c := e.first(k)
	e.complete(c)
	e.lost("Release", e.store.Release(e.ctx, c), "the delivery is completed, there is nothing to release")
	e.completed(k, "a release does not undo it")
}
