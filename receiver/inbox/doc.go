// Package inbox receives deployment webhooks durably: a delivery is verified, stored and answered at once, and handled
// later by workers, with retries, in a process that may crash at any moment.
//
//	in, err := inbox.OpenSQLite(ctx, "inbox.db", onEvent) // or inbox.NewPostgres(ctx, pool, onEvent)
//	if err != nil {
//		return err
//	}
//	defer in.Close()
//	hook, err := in.Handler(scheme, "platform") // scheme from package signer
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/deploy", hook)
//	if err := in.Start(ctx); err != nil {
//		return err
//	}
//
// It is for handlers that take longer than a sender waits, that depend on what may be down, or whose work must not
// be lost once the sender has been told so. The database is a SQLite file, for the processes of one machine, or PostgreSQL, for
// as many as there are. Underneath, River (riverqueue.com) does the queueing, with tables of its own beside the inbox's.
// On 32-bit systems River has no SQLite driver, so PostgreSQL is needed there.
//
// # What happens to a delivery
//
// [Inbox.Handler] does what a receiver does, up to the handler: method, content type, bounded body, verification of the exact bytes,
// decoding and validation. Then the delivery is stored together with the job that will handle it, and the peer is answered:
//
//	stored                                   202 {"received":true}
//	stored before                            200 {"received":true,"duplicate":true}
//	can't be stored, or the backlog is full  503, Retry-After
//
// A worker then calls the handler with the event; receiver.FromContext has the delivery, with the body exactly as it was
// received, and [FromContext] the attempt. nil from the handler makes the delivery [Handled]. After an error or a
// panic it is tried again, by [RetrySchedule], and after [WithMaxAttempts] or a [Permanent] error it is [Dead] and waits
// for [Inbox.Replay] or [Inbox.ReplayDead]. Handled deliveries are kept for [WithRetention], and their copies are
// recognised for as long.
//
// # At least once, and exactly once
//
// A crash between the handler's effect and the note that it is handled makes the handler run again. Where the effect is in the
// inbox's own database, [Attempt.CompleteTx] puts both into one transaction:
//
//	func deployed(ctx context.Context, e *payload.Event) error {
//		a, _ := inbox.FromContext(ctx)
//		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//			if _, err := tx.Exec(ctx, "UPDATE apps SET version = $1 WHERE name = $2", e.Version, e.App); err != nil {
//				return err
//			}
//			return a.CompleteTx(ctx, tx)
//		})
//	}
//
// Elsewhere a handler recognises the delivery by its ID, which is the same for all copies and attempts.
//
// # Order
//
// Webhooks overtake each other, and so do retries. With [WithOrdering] the events of one deployment are handled one at a
// time, across all processes, and one that is older than what has landed is [Superseded]: in_progress never comes after
// success.
//
// # Crashes
//
// A delivery whose process died is taken up again when its handler's time is up and [WithRescueAfter] has passed, on the next
// look, which somebody takes every 30 seconds; after the death of the process that did the looking, another takes that over
// within 15 seconds. That costs the delivery no attempt; one whose process has died 25 times is dead.
//
// # Least privilege
//
// [NewPostgres] creates and updates the tables, for which the role must own the
// schema. In production let an owner call [Migrate], or run the SQL of
// [Migrations], and give the service's role these rights alone:
//
//	GRANT USAGE ON SCHEMA deployhook_inbox TO service;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA deployhook_inbox TO service;
//	GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA deployhook_inbox TO service;
//
// Repeat the grants after a migration, or set them as default privileges of the
// schema. Only an owner may rebuild indexes, so River's reindexer does not run
// under such a role. The owner can run REINDEX TABLE CONCURRENTLY on river_job
// every few weeks instead. With [WithoutMigration] the constructor never tries to
// change the tables.
//
// # Poolers
//
// The constructor recognises PgBouncer and other poolers, and refuses settings that
// fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - Fails closed: nothing is stored before the signature holds, and nothing is acknowledged before it is on disk. A
//     database that is down, slow or full is a 503, and the sender tries again.
//   - Deliveries are told apart by a digest of source, principal and the signed ID, or the hash of the signed body; no
//     header that is only the peer's word counts. Retention must be at least twice the tolerance, so that nothing is
//     forgotten while its timestamp still passes.
//   - The backlog ([WithMaxBacklog]) and each body are bounded. Handled deliveries
//     are not counted: they keep their body for [WithRetention], so that they can be
//     replayed. The disk must hold what authentic senders send in that time. Shorten
//     the retention, or limit the rate in front of the handler, where a sender may
//     send more.
//   - A SQLite file is created for its owner only. Bodies are stored as they are: whoever reads the database reads them.
//   - No log line and no error contains a body, a secret or a connection string. The handler's errors are kept with the
//     delivery and logged, so keep secrets out of them.
//
// # Misuses
//
//   - Handlers that are not idempotent and don't use CompleteTx.
//   - Handlers that ignore their context: beyond [WithHandlerTimeout] another process may run the delivery as well.
//   - A SQLite file on a network file system, or one for two inboxes: each needs its own.
//   - Two handlers for one schema: a delivery is handled by whichever process comes first. Give each its own [WithSchema].
//   - Cancelling or deleting River's jobs by hand: a delivery whose job is gone stays pending. Use the inbox's own methods.
//   - A retention shorter than the sender's retries: a late copy is then a new delivery.
//   - Non-transactional calls on the inbox's file from inside an own transaction on it: they wait for each other.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package inbox
