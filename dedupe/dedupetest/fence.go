package dedupetest

import "github.com/deployhook/deployhook/dedupe"

// fenceChecks test a slow worker whose lease has ended and was taken over.
func fenceChecks() []check {
	return []check{
		{"slow worker cannot complete its successor's claim", fenced("Complete", complete)},
		{"slow worker cannot release its successor's claim", fenced("Release", release)},
		{"slow worker cannot renew its successor's claim", fenced("Renew", renew)},
		{"slow worker cannot complete what its successor completed", fencedDone("Complete", complete)},
		{"slow worker cannot release what its successor completed", fencedDone("Release", release)},
		{"slow worker cannot renew what its successor completed", fencedDone("Renew", renew)},
		{"successor finds the slow worker's late completion", successorTooLate},
	}
}

func complete(e *env, c dedupe.Claim) error { return e.store.Complete(e.ctx, c) }
func release(e *env, c dedupe.Claim) error  { return e.store.Release(e.ctx, c) }
func renew(e *env, c dedupe.Claim) error    { return e.store.Renew(e.ctx, c, e.Lease) }

func fenced(name string, call func(*env, dedupe.Claim) error) func(*env) {
	return func(e *env) {
		k := key(name)
		slow, successor := e.succeed(k)
		e.lost(name, call(e, slow), "another caller has taken the delivery over")
		e.inFlight(k, "the slow worker's attempt leaves the successor's claim as it is")
		e.advance(e.Lease + e.Slack)
		e.inFlight(k, "the slow worker's attempt does not change the successor's lease either")
		e.ok("Renew by the successor", e.other.Renew(e.ctx, successor, e.amply), "it holds the claim")
		e.ok("Complete by the successor", e.other.Complete(e.ctx, successor), "it holds the claim")
		e.completed(k, "the successor has handled it")
	}
}

func fencedDone(name string, call func(*env, dedupe.Claim) error) func(*env) {
	return func(e *env) {
		k := key(name)
		slow, successor := e.succeed(k)
		e.ok("Complete by the successor", e.other.Complete(e.ctx, successor), "it holds the claim")
		e.lost(name, call(e, slow), "another caller has completed the delivery")
		e.completed(k, "the slow worker's attempt does not undo it")
	}
}

// successorTooLate lets both leases end. The first caller that completes the
// key has handled the delivery, and the other one gets an error.
func successorTooLate(e *env) {
	k := key("both late")
	slow := e.first(k)
	e.advance(e.Lease + e.Slack)
	successor := e.expect(e.other, k, e.Lease, dedupe.Claimed, "the lease has ended")
	e.advance(e.Lease + e.Slack)
	e.ok("Complete by the first", e.store.Complete(e.ctx, slow), "both leases have ended, so no caller holds the key")
	e.lost("Complete by the second", e.other.Complete(e.ctx, successor), "another caller has completed the delivery")
	e.completed(k, "it has been handled")
}
