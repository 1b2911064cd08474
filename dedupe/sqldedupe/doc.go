// Package sqldedupe remembers deliveries in a SQL database, PostgreSQL or SQLite, that all instances of a service share, and
// can commit a delivery's effect and its completion together, so that each event takes effect exactly once.
//
//	store, err := sqldedupe.OpenSQLite(ctx, "deliveries.db")
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "deploys"))
//
// [NewPostgres] and [NewSQLite] take a *sql.DB instead, the one that the application's own tables are in. A handler whose
// effects are rows in those completes its claim in the same transaction:
//
//	record := func(ctx context.Context, e *payload.Event) error {
//		d, _ := receiver.FromContext(ctx)
//		return d.CompleteWith(func(c dedupe.Claim) error {
//			return store.InTx(ctx, c, func(ctx context.Context, tx *sql.Tx) error {
//				_, err := tx.ExecContext(ctx, "INSERT INTO releases (app, version) VALUES (?, ?)", e.App, e.Version)
//				return err
//			})
//		})
//	}
//
// If the process crashes at any point of this, neither the row nor the completion is there, and the sender's next try is
// handled; or both are, and it is a duplicate. A worker whose lease was taken over fails at the completion, and what it has done
// is rolled back. [Store.CompleteTx] and [Store.CompletePgxTx] do it in a transaction that the caller begins and commits.
//
// [OpenSQLite] uses modernc.org/sqlite, which needs no cgo. For PostgreSQL any driver
// will do whose errors have a method SQLState() string.
//
// # Operation
//
// The constructors make the table, or bring it up to date, in one transaction; instances that start together wait for each
// other. [Migrate] and [Migrations] do it beforehand. A delivery is one row, deleted some time after its TTL: claims do that
// on the side, a batch at a time, or [Store.RunPruner] does. Deleting rows that are over by hand does no harm; deleting others
// forgets them.
//
// In production let an owner call [Migrate], or run the SQL of [Migrations], and
// give the service's role these rights alone:
//
//	GRANT USAGE ON SCHEMA public TO service;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON deployhook_dedupe TO service;
//	GRANT SELECT ON deployhook_dedupe_schema TO service;
//	GRANT USAGE ON SEQUENCE deployhook_dedupe_token TO service;
//
// A delivery costs two commits, and each waits for the disk: about as many deliveries a second as the disk has syncs for
// SQLite and for a single PostgreSQL connection; PostgreSQL syncs many connections' commits at once. Duplicates only read.
//
// # Poolers
//
// The constructor recognises PgBouncer and other poolers, and refuses settings that
// fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - A key is kept as a digest (see [dedupe.NewKey]); neither IDs nor payloads are in the table.
//   - Every doubt is an error, so that a receiver answers 503 and the sender tries again: a database that is down, slow,
//     locked, read-only or full, a lost connection, a schema that is newer than the package.
//   - Full is [dedupe.ErrFull]: nothing is forgotten to make room, and duplicates are still recognised.
//   - Whoever takes a lease over gets a greater token, and from then on the slow worker's calls fail, its transaction too.
//   - The constructors refuse a database that acknowledges commits before they are on disk; see [InsecureUnsynced].
//   - Statements have parameters, and table names are checked, so nothing that comes from outside is ever part of SQL.
//   - No error contains a data source name. A driver that can't parse one repeats
//     it, and the constructors and Migrate replace that error. Other errors of the
//     driver, which are wrapped, may name host, user and database.
//   - OpenSQLite makes a file that only its owner can read.
//
// # Misuses
//
//   - An effect outside the transaction, a call to another service for example, is at least once like with any store: it
//     happens before the commit, and is not undone. Give it the delivery's ID as an idempotency key, or queue it in
//     the same transaction.
//   - Completing in one transaction what was done in another, which a crash in between handles twice.
//   - Going on after a statement's error in a SQLite transaction: SQLite may have ended it, and commits what follows at once.
//     [Store.InTx] keeps it from that, and CompleteTx fails if it is too late.
//   - A clock that is set: leases and TTLs follow the database's. A step of hours forward forgets that much too early, so
//     choose a TTL that is longer than twice the receiver's tolerance by more than any step.
//   - A replica that is not synchronous: after a failover the last completions are missing, and deliveries are handled again.
//   - A SQLite file on a network file system, whose locks cannot be relied on.
//   - Long transactions. PostgreSQL keeps a delivery in flight while one that has completed it stays open, even if the
//     process that began it has vanished: set idle_in_transaction_session_timeout. SQLite keeps everybody waiting.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package sqldedupe
