// Package dedupe ensures that each delivery is handled once. A [Store] grants
// exactly one copy of a delivery the right to be handled, and remembers handled
// deliveries.
//
//	store, err := dedupe.NewMemory()
//	if err != nil {
//		return err
//	}
//	key := dedupe.NewKey("deploys", "acme", id)
//	claim, err := store.Claim(ctx, key, time.Minute)
//	if err != nil {
//		return err // 503: without a claim, handle nothing
//	}
//	switch claim.State {
//	case dedupe.Completed:
//		return errors.New("a duplicate") // 200
//	case dedupe.InFlight:
//		return errors.New("in flight") // 409, Retry-After: claim.RetryAfter
//	}
//	// The result must be recorded even if the sender disconnects.
//	uncanceled := context.WithoutCancel(ctx)
//	if err := handle(ctx); err != nil {
//		// 500: a retry can run at once.
//		return errors.Join(err, store.Release(uncanceled, claim))
//	}
//	return store.Complete(uncanceled, claim)
//
// Package receiver does this for every delivery after it has verified the
// signature. It also renews the claims of slow handlers. [Memory] is the
// embedded store. Stores that several instances of a service share implement
// the same interface. Package dedupetest checks implementations.
//
// # Claims instead of a list of IDs
//
// If a receiver records an ID before handling the delivery, a crash of the
// handler loses the delivery. If it records the ID afterwards, two copies that
// arrive together are handled twice. Instead, the receiver first claims the
// delivery for the time of a lease, and completes it after handling. If the
// handler crashes, the lease ends and a retry is handled.
//
// A handler may outlive its lease, for example because of a long pause of the
// process or a slow database. Each claim therefore has a fencing [Token] that
// is greater than the token of every earlier claim of the same key. While
// another worker holds the key, the slow worker's Renew, Complete and Release
// fail with [ErrLeaseLost] and change nothing.
//
// This gives at-least-once handling. A delivery is handled again only if a
// handler crashed or outlived its lease. For exactly-once effects, commit the
// effect and the completion in one transaction.
//
// # Security
//
//   - A key is a digest of source, principal and ID, each with its length, so
//     deliveries of different tenants never have the same key. Use the
//     principal instead of the signing key, because rotation changes the
//     signing key.
//   - Claim only verified deliveries. With an ID from an unsigned header or
//     request, anyone could make the receiver refuse a delivery before it was
//     sent.
//   - Replays are impossible only while completed deliveries are remembered.
//     The TTL must be at least twice the tolerance of the verifier, which a
//     receiver checks.
//   - A full store refuses new keys and never forgets a key early. Otherwise an
//     attacker could make it forget IDs and then replay them.
//   - A Memory measures leases and TTLs with the monotonic clock, so a change
//     of the machine's clock does not make replays possible.
//   - Every doubt is an error. An error never grants the right to handle a
//     delivery.
//
// # Common mistakes
//
//   - If the TTL is shorter than the sender's retry schedule, a retry after the
//     TTL is handled again.
//   - Do not complete a delivery before handling it, or after passing the work
//     to a goroutine or an in-memory queue. A crash would lose the event.
//   - If the lease is shorter than the handler's duration and nothing renews
//     it, the next retry is handled at the same time.
//   - Do not handle a delivery after an error of Claim. Do not answer 2xx to a
//     delivery in flight, because the sender would not retry it if the other
//     copy fails.
//   - Do not complete or release with a context that has ended. The key would
//     stay claimed until the lease ends.
//   - Do not use a Memory in each of several instances of a service. Every
//     instance would handle its own copy.
//   - A Memory does not survive a restart. Afterwards, each delivery that is
//     still within the tolerance can be replayed once.
//   - The capacity must not be less than the number of deliveries in a TTL.
//     Otherwise a full store refuses deliveries until older ones expire.
package dedupe
