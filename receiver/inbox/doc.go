// Package inbox receives deployment webhooks durably. It verifies, stores and
// answers a delivery at once. Workers handle it later, with retries. The
// process may crash at any moment without losing a delivery.
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
// Use it for handlers that take longer than a sender waits, that depend on
// services which may be down, or whose work must not be lost after the sender
// got its answer.
//
// The database is a SQLite file for the processes of one machine, or PostgreSQL
// for processes on any number of machines.
//
// # What happens to a delivery
//
// [Inbox.Handler] runs the same steps as a receiver: method, content type,
// bounded body, verification of the exact bytes, decoding and validation. Then
// it stores the delivery together with the job that will handle it, and
// answers:
//
//	stored                                   202 {"received":true}
//	stored before                            200 {"received":true,"duplicate":true}
//	not stored, or the backlog is full       503, Retry-After
//
// [Inbox.Records] does the same with the webhooks of GitHub and other systems.
// The packages under payload decode them. Their events become jobs too:
//
//	hook, err := in.Records(verifier, "github", decode) // from github.NewVerifier and github.NewDecoder
//
// A worker then calls the handler with the event. receiver.FromContext returns
// the delivery with the exact body, and [FromContext] returns the attempt.
//
//	handler's result     delivery
//	nil                  Handled
//	error or panic       Pending; tried again after RetrySchedule
//	Permanent error      Dead
//	last attempt fails   Dead, after WithMaxAttempts
//
// Dead deliveries stay until [Inbox.Replay] or [Inbox.ReplayDead].
// [Inbox.DeadErrors] groups them by their error. Handled deliveries are kept
// for [WithRetention]. Duplicates are recognised for the same time.
//
// # At least once, and exactly once
//
// If the process crashes after the handler's effect but before the delivery is
// marked as handled, the handler runs again. If the effect is in the inbox's
// own database, [Attempt.CompleteTx] puts both into one *sql.Tx, for example
// that of an ORM. [Attempt.CompletePgxTx] does the same in a pgx.Tx:
//
//	func deployed(ctx context.Context, e *payload.Event) error {
//		a, _ := inbox.FromContext(ctx)
//		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
//			if _, err := tx.Exec(ctx, "UPDATE apps SET version = $1 WHERE name = $2", e.Version, e.App); err != nil {
//				return err
//			}
//			return a.CompletePgxTx(ctx, tx)
//		})
//	}
//
// Other handlers recognise a delivery by its ID, which is the same for all
// copies and attempts.
//
// # Order
//
// Webhooks and their retries can overtake each other. With [WithOrdering] the
// events of one deployment are handled one at a time across all processes. An
// event that is older than what was already handled becomes [Superseded]. For
// example, in_progress never follows success.
//
// # Crashes
//
// A delivery whose process died is retried after the handler timeout plus
// [WithRescueAfter]. With [WithOrdering] it is twice the handler timeout. Any
// started process retries it. The crash does not count as an attempt. A
// delivery becomes dead after 25 processes have died while handling it.
//
// # Least privilege
//
// [NewPostgres] creates and updates the tables, so its role must own the
// schema. In production, let an owner call [Migrate] or run the SQL of
// [Migrations]. Give the service's role only these rights:
//
//	GRANT USAGE ON SCHEMA deployhook_inbox TO service;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA deployhook_inbox TO service;
//	GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA deployhook_inbox TO service;
//
// Repeat the grants after a migration, or set them as default privileges of the
// schema. With [WithoutMigration] the constructor never tries to change the
// tables.
//
// # Poolers
//
// The constructor recognises PgBouncer and other poolers, and refuses settings
// that fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - It fails closed. Nothing is stored before the signature is verified, and
//     nothing is acknowledged before it is on disk. If the database is down,
//     slow or full, the answer is 503 and the sender tries again.
//   - A digest of source, principal and signed ID identifies a delivery. If the
//     scheme signs no ID, the hash of the body replaces it. Unsigned headers
//     never count. Retention must be at least twice the tolerance, so that no
//     delivery is forgotten while its timestamp is still accepted.
//   - The backlog ([WithMaxBacklog]) and each body are bounded. Handled
//     deliveries do not count towards the backlog. They keep their body for
//     [WithRetention], so that they can be replayed. The disk must hold what
//     authentic senders send in that time. If a sender may send more, shorten
//     the retention or limit the rate in front of the handler.
//   - A SQLite file is created with access for its owner only. Bodies are
//     stored unencrypted, so anyone who can read the database can read them.
//   - Log lines and errors never contain a body, a secret or a connection
//     string. The handler's errors are stored with the delivery and logged, so
//     keep secrets out of them.
//
// # Tests of handlers
//
// Call a handler with a delivery in its context. Package receivertest has
// samples:
//
//	ctx := receiver.NewContext(t.Context(), &receiver.Delivery{
//		Source: "github", Deployment: receivertest.Deployment(payload.StatusSuccess),
//	})
//	err := announce(ctx, receivertest.Event(payload.DeployLive))
//
// To test signatures and answers, open an inbox on a file in t.TempDir, and
// post the requests of receivertest to its HTTP handler. They are stored, and
// get 202, before [Inbox.Start].
//
// # Misuses
//
//   - A handler that is not idempotent and does not use CompleteTx.
//   - A handler that ignores its context. After [WithHandlerTimeout] another
//     process may handle the delivery at the same time.
//   - A SQLite file on a network file system, or one file for two inboxes. Each
//     inbox needs its own file.
//   - Two different handlers on one schema. The process that comes first
//     handles a delivery. Give each handler its own [WithSchema].
//   - Deleting rows of the table inbox_job by hand. A delivery without a job
//     stays pending. Use the inbox's methods.
//   - A retention shorter than the sender's retries. A late copy is then a new
//     delivery.
//   - Calls of the inbox without the transaction, from inside the application's
//     own transaction on the inbox's file. They wait for each other.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package inbox
