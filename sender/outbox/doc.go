// Package outbox publishes deployment events to customers' endpoints, durably: what [Outbox.Publish] has accepted survives a
// crash, is delivered to each subscribed endpoint with retries, and leaves a log that can be shown and replayed. It is what a
// platform builds its "webhooks" page on.
//
//	key, err := outbox.NewKey("2026-11", secret) // 32 random bytes from a key management service
//	if err != nil {
//		return err
//	}
//	o, err := outbox.OpenSQLite(ctx, "outbox.db", outbox.WithSealingKeys(key)) // or outbox.NewPostgres(ctx, pool, …)
//	if err != nil {
//		return err
//	}
//	defer o.Close()
//	endpoint, shownOnce, err := o.CreateEndpoint(ctx, outbox.EndpointConfig{
//		App: "shop", URL: sender.NewURL(url), Events: []string{"deploy.*"},
//	})
//	if err != nil {
//		return err // says which field is at fault
//	}
//	fmt.Println(endpoint.ID, shownOnce.Reveal()) // the customer verifies with it
//	if err := o.Start(ctx); err != nil {
//		return err
//	}
//	publication, err := o.Publish(ctx, "shop", event)
//	if err != nil {
//		return err
//	}
//	fmt.Println(publication.EventID, len(publication.Deliveries))
//
// It runs on [River], in a SQLite file or in PostgreSQL: another constructor, the same code. Any number of processes may share the
// database; each can publish, and those that were started deliver.
// On 32-bit systems River has no SQLite driver, so PostgreSQL is needed there.
//
// # Publishing
//
// An event has an ID ([WithEventID]), under which it is published once. Each endpoint of the app whose filter takes it gets
// a delivery with an ID of its own, which is what its receiver tells duplicates by. The body is encoded when it is published, in the
// endpoint's format, and these bytes are sent in every attempt and every replay, each time with a fresh timestamp and
// signature. [Outbox.PublishTx] does so in the application's own transaction: the deployment's record and its webhooks exist
// together or not at all.
//
// # What becomes of a delivery
//
//	2xx                              delivered
//	410                              failed; the endpoint is disabled, and what waits for it canceled
//	anything else, or no answer      made again by the endpoint's schedule, no sooner than Retry-After asks (at most 6 hours)
//	the schedule is exhausted        failed: a dead letter, kept for Replay; the endpoint is failing
//	the endpoint is disabled         canceled
//	stale, with WithSupersession     superseded
//
// An endpoint that has been failing for 5 days ([WithDisableAfter]) is disabled; one success makes it active again. Who is
// told: the hook ([WithHook]), and the app's other endpoints by an event of the type endpoint.disabled.
//
// Delivery is at least once. A process that dies in the middle of an attempt may have delivered it; another one makes it again
// a minute or two later ([WithMaxTimeout]), under the same ID, and the schedule loses nothing by it.
//
// # One endpoint delays no other
//
// Each endpoint has a cap on attempts in flight (per process), and a window within it that opens with success and closes with
// failure. Half of the slots at most go to endpoints that fail or are slow. Five failures in a row open a circuit breaker, which
// lets a single attempt through after a jittered pause, and uses up the attempts of none that wait meanwhile ([WithBreaker]). What
// has no slot goes back to the queue, and is called back when the endpoint recovers, slowly at first: the attempts per second
// double from one. A rate limit (EndpointConfig.RateLimit) holds across processes.
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
//   - URLs, headers and secrets are sealed in the database (AES-256-GCM), each bound to its endpoint and column: a copy of the
//     database reveals none, and a value that was moved does not open. Bodies are not sealed.
//   - A secret is returned once, when it is made. Nothing that this package returns, logs or prints shows one, a URL's path or a
//     header's value.
//   - Everything that package sender promises holds for every attempt: addresses are checked when they are dialled, redirects
//     are not followed, answers are bounded, records are redacted.
//   - What is wrong is refused when it is entered, not when it is due: endpoints are checked as every attempt checks them.
//   - Answers of endpoints are kept in the log as they came (16 KiB): escape them where they are shown.
//
// # Misuses
//
//   - Publishing after the application's transaction has committed: a crash in between loses the event. Use PublishTx.
//   - A fresh event ID for each try to publish: every one of them is then delivered. Derive it from what happened.
//   - Keeping the sealing key beside the database.
//   - One Outbox for each request. Make one, and share it.
//   - Two releases with different WithFormat on one database: the one that does not know an endpoint's format can't publish to
//     its app.
//   - Using River's own tools on the outbox's jobs. They are the clock only; the truth is in the outbox_ tables.
//
// [River]: https://riverqueue.com
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package outbox
