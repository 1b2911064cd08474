// Package dedupe makes sure that each delivery is handled once: a [Store] gives exactly one of its copies the right to be
// handled, and remembers the ones that have been.
//
//	store, err := dedupe.NewMemory()
//	if err != nil {
//		return err
//	}
//	claim, err := store.Claim(ctx, dedupe.NewKey("deploys", "acme", id), time.Minute)
//	if err != nil {
//		return err // 503: nothing is handled that could not be remembered
//	}
//	switch claim.State {
//	case dedupe.Completed:
//		return errors.New("a duplicate") // 200
//	case dedupe.InFlight:
//		return errors.New("in flight") // 409, Retry-After: claim.RetryAfter
//	}
//	// What has been done must be recorded even if the sender hangs up.
//	owed := context.WithoutCancel(ctx)
//	if err := handle(ctx); err != nil {
//		return errors.Join(err, store.Release(owed, claim)) // 500: a retry runs at once
//	}
//	return store.Complete(owed, claim)
//
// Package receiver does this for every delivery, after its signature has been verified, and renews the claims of handlers
// that take long. [Memory] is the embedded store. Stores that several instances of a service share implement the same
// interface; package dedupetest checks that they do.
//
// # Claim, do not just remember
//
// An ID that is remembered before it is handled is lost when the handler crashes; one that is remembered
// afterwards is handled twice when copies come in together. So a delivery is claimed first, for the time of a lease, and
// completed when it has been handled. If its handler crashes, the lease ends and a retry is handled.
//
// A handler may outlive its lease, be it through a long pause of the process or a slow database. Each claim therefore has
// a fencing [Token], greater than that of every earlier claim of the same key. The slow worker's Renew, Complete
// and Release fail with [ErrLeaseLost] while its successor holds the claim, and leave it alone.
//
// What this gives is at-least-once handling, in which a delivery is handled again only if a handler crashed or outlived its
// lease. For exactly-once effects the effect and the completion have to be committed in one transaction.
//
// # Security
//
//   - Keys are digests of source, principal and ID, each with its length, so one tenant's delivery never passes for another's.
//     Key by the principal, not by the signing key, which changes with rotation.
//   - Only claim what has been verified. An ID from an unsigned header or an unsigned request lets anybody
//     have a delivery refused before it was sent.
//   - The replay window is closed only while completed deliveries are remembered: the TTL must be at least twice the tolerance
//     of the verifier, which a receiver enforces.
//   - A store under pressure refuses; it never forgets early. An attacker who could push IDs out of the memory could replay them.
//   - Leases and TTLs of a Memory are measured with the monotonic clock: setting the machine's clock opens no window.
//   - Every doubt is an error, and with an error nobody has the right to handle anything.
//
// # Misuses
//
//   - A TTL shorter than the sender's schedule of retries: a retry that comes after it is handled again.
//   - Completing before handling, or after handing the work to a goroutine or a queue in memory: a crash loses the event.
//   - A lease shorter than the handler takes, and no Renew: the next retry is handled beside it.
//   - Handling on an error of Claim, or answering 2xx to a delivery in flight: if the other copy fails, the sender never
//     tries again.
//   - Completing or releasing with a context that has ended: the key stays claimed until the lease ends.
//   - A Memory in each of several instances of a service: every instance handles its own copy. Nor does a Memory outlive its
//     process: after a restart, what is still within the tolerance can be replayed once.
//   - A capacity below the number of deliveries in a TTL: from then on deliveries are refused until older ones expire.
package dedupe
