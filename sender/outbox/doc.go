// Package outbox publishes deployment events to customers' endpoints, durably.
// An event that [App.Publish] has accepted survives a crash. It is delivered
// to each subscribed endpoint with retries, and leaves a log that can be shown
// and replayed. A platform builds its "webhooks" page on this package.
//
//	key, err := outbox.NewSealingKey("2026-11", secret) // 32 random bytes
//	if err != nil {
//		return err
//	}
//	// or outbox.NewPostgres(ctx, pool, …)
//	o, err := outbox.OpenSQLite(ctx, "outbox.db", outbox.WithSealingKeys(key))
//	if err != nil {
//		return err
//	}
//	defer o.Close()
//	shop := o.App("shop") // one customer
//	endpoint, shownOnce, err := shop.CreateEndpoint(ctx, outbox.EndpointConfig{
//		URL: sender.NewURL(url), Events: []string{"deploy.*"},
//	})
//	if err != nil {
//		return err // names the invalid field
//	}
//	fmt.Println(endpoint.ID, shownOnce.Reveal()) // the customer verifies with it
//	if err := o.Start(ctx); err != nil {
//		return err
//	}
//	publication, err := shop.Publish(ctx, event)
//	if err != nil {
//		return err
//	}
//	fmt.Println(publication.EventID, len(publication.Deliveries))
//
// It runs in a SQLite file or in PostgreSQL. Only the constructor differs. Any
// number of processes may share the database. Each can publish, and those that
// were started deliver.
//
// # Apps
//
// An app is one customer. [Outbox.App] is its view. It has all methods that
// take the ID of an endpoint, a delivery or a replay, and finds only those of
// the app. Any other ID is unknown, whether or not it exists. A service that
// knows which customer called it can pass on the IDs that the customer sent.
// [Outbox] itself has what the operator does for all apps.
//
// # Publishing
//
// An event has an ID ([WithEventID]), under which it is published once. Each
// endpoint of the app whose filter accepts the event gets a delivery. The
// delivery has its own ID, by which its receiver detects duplicates. The event
// is stored once, and a JSON delivery is this event with the delivery's ID put
// in. The format "envelope" ([FormatEnvelope]) is made of the stored event in
// the same way. Bodies in other formats are made when the event is published.
// Every attempt and every replay sends the same bytes, with a fresh timestamp
// and signature.
//
// # Publishing in the application's transaction
//
// [App.PublishTx] publishes in a *sql.Tx of the application on the outbox's
// database, and [App.PublishPgxTx] in a pgx.Tx. The deployment's record and its
// webhooks exist together or not at all:
//
//	err := db.Transaction(func(tx *gorm.DB) error {
//		if err := tx.Create(&release).Error; err != nil {
//			return err
//		}
//		_, err := app.PublishTx(ctx, tx.Statement.ConnPool.(*sql.Tx), event)
//		return err
//	})
//
// The *sql.Tx of a library:
//
//	GORM          tx.Statement.ConnPool.(*sql.Tx), without PrepareStmt
//	Bun, sqlx     the embedded field tx.Tx
//	database/sql  tx
//
// On PostgreSQL, the driver of database/sql may be pgx, lib/pq or Bun's
// pgdriver. On SQLite it must be modernc.org/sqlite, which the outbox uses.
// Two copies of SQLite in one process break each other's locks on the file.
//
// # Outcomes of a delivery
//
//	2xx                            delivered
//	410                            failed, and the endpoint is disabled
//	disable                        delivered if 2xx, otherwise failed, and the endpoint is disabled
//	abort-message, and no 2xx      failed: a dead letter
//	anything else, or no answer    retried by the endpoint's schedule
//	the schedule is exhausted      failed: a dead letter, kept for Replay
//	the endpoint is disabled       canceled
//	stale, with WithSupersession   superseded
//
// An endpoint sends disable and abort-message in the header Webhook-Delivery of
// its answer. They count with [sender.WithDeliveryControl] in [WithSender]
// only. An abort-message concerns one delivery, so it is no failure of the
// endpoint.
//
// A retry comes no sooner than Retry-After asks, up to 6 hours. An endpoint
// that has been failing for 5 days ([WithDisableAfter]) is disabled. One
// success makes it active again. The hook ([WithHook]) is told, and the app's
// other endpoints get an event of the type endpoint.disabled.
//
// Each stage of a failure is said once, by whichever process comes first:
//
//	failing for 30 seconds       a log line
//	a delivery is a dead letter, or failing for an hour
//	                             a log line and NoticeFailing
//	50 and 80 % of WithDisableAfter
//	                             a log line and NoticeDisabling
//	100 %                        a log line, NoticeDisabled and the event
//	accepts deliveries again     a log line and NoticeRecovered
//
// [Notice.Event] turns a notice into an event that the platform may publish to
// the app.
//
// Delivery is at least once. A process that crashes during an attempt may have
// delivered it. Another process makes the attempt again a minute or two later
// ([WithMaxTimeout]), under the same ID. The schedule loses no attempt.
//
// # Missed events, polling, erasure
//
// Events are kept whether or not an endpoint got them ([WithEventRetention]).
// [App.Missed] counts what an endpoint did not get because it was disabled, did
// not exist or had another filter, and [App.SendMissed] sends it. A consumer
// that can't be called polls with [App.Events], whose cursor shows each event
// once. [App.EraseEvent] removes what one event says, everywhere.
//
// # Figures
//
// [Outbox.Stats] says how much there is to do and since when, and which
// endpoints it waits for. [App.Stats] and [App.EndpointStats] say the same
// about one app and one endpoint. Counts are exact up to 10,000. Calls share
// figures that are up to five seconds old. While calls ask for them, they are
// read again in the background, so a page or a metric may ask often and does
// not wait.
//
// # Order
//
// Deliveries of different events are independent by default, so a retry can
// come after a newer event. With [WithOrdering], a delivery waits while an
// older one of the same deployment is pending at the same endpoint. With
// [WithSupersession], an intermediate event is dropped once its deployment is
// over.
//
// # Isolation of endpoints
//
// An endpoint that hangs, fails or has a large backlog delays no other
// endpoint:
//
//   - Each endpoint has a limit of attempts in flight per process, and a window
//     within it that grows with success and shrinks with failure.
//   - Endpoints that fail or are slow get at most half of the slots.
//   - Five failures in a row open a circuit breaker. After a jittered pause it
//     admits a single attempt. Waiting deliveries lose no attempts meanwhile
//     ([WithBreaker]).
//   - A delivery without a slot goes back to the queue and is woken up when the
//     endpoint recovers. The attempts per second then double from one. A
//     restart changes nothing about that.
//   - A rate limit (EndpointConfig.RateLimit) applies across processes.
//
// # Least privilege
//
// [NewPostgres] creates and updates the tables, for which the role must own the
// schema. In production let an owner call [Migrate], or run the SQL of
// [Migrations], and give the service's role these rights alone:
//
//	GRANT USAGE ON SCHEMA deployhook_outbox TO service;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA deployhook_outbox TO service;
//	GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA deployhook_outbox TO service;
//
// Repeat the grants after a migration, or set them as default privileges of the
// schema. With [WithoutMigration] the constructor never tries to change the
// tables.
//
// # Poolers
//
// The constructor recognizes PgBouncer and other poolers, and refuses settings
// that fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - URLs, headers, secrets and client certificates are sealed in the database
//     with AES-256-GCM, each bound to its endpoint, app, scheme and column. A
//     copy of the database reveals none. A value that was moved does not open,
//     nor does one whose endpoint got another app or scheme by SQL. Bodies are
//     not sealed.
//   - A secret is returned once, when it is made. Nothing that this package
//     returns, logs or prints shows a secret, a private key, a URL's path or a
//     header's value. [App.EndpointURL] returns a URL, which prints without its
//     path until Reveal is called.
//   - The promises of package sender apply to every attempt. Addresses are
//     checked when they are dialed, redirects are not followed, answers are
//     bounded, and records are redacted.
//   - Endpoints are checked when they are entered, in the same way as by every
//     attempt.
//   - Answers of endpoints are kept in the log as they came (16 KiB). Escape
//     them before you show them.
//
// # Misuses
//
//   - Taking the name for [Outbox.App] from a request without checking that the
//     caller may act for that app.
//   - Publishing after the application's transaction has committed. A crash in
//     between loses the event. Use PublishTx or PublishPgxTx.
//   - A fresh event ID for each try to publish. All of them are delivered then.
//     Derive the ID from what happened.
//   - Keeping the sealing key in the same place as the database.
//   - One Outbox for each request. Make one, and share it.
//   - Two releases with different WithFormat on one database. A process that
//     does not know an endpoint's format can't publish to its app.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package outbox
