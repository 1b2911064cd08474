// Package sqldedupe implements a dedupe.Store in a PostgreSQL or SQLite
// database that all instances of a service share. It can commit a delivery's
// effect and its completion together, so that each event takes effect exactly
// once.
//
//	store, err := sqldedupe.OpenSQLite(ctx, "deliveries.db")
//	if err != nil {
//		return err
//	}
//	defer store.Close()
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "deploys"))
//
// [NewPostgres] and [NewSQLite] take the *sql.DB of the application's own
// tables. A handler that writes to these tables completes its claim in the same
// transaction:
//
//	record := func(ctx context.Context, e *payload.Event) error {
//		d, _ := receiver.FromContext(ctx)
//		insert := func(ctx context.Context, tx *sql.Tx) error {
//			_, err := tx.ExecContext(ctx,
//				"INSERT INTO releases (app, version) VALUES (?, ?)",
//				e.App, e.Version)
//			return err
//		}
//		return d.CompleteWith(func(c dedupe.Claim) error {
//			return store.InTx(ctx, c, insert)
//		})
//	}
//
// The placeholders in the application's own SQL are those of its driver. With
// PostgreSQL they are $1 and $2 instead of the question marks.
//
// A crash at any point leaves either both the row and the completion, or
// neither. In the first case the sender's retry is a duplicate, and in the
// second it is handled. If another worker took over the lease, the slow
// worker's completion fails and its transaction is rolled back.
// [Store.CompleteTx] and [Store.CompletePgxTx] do the same in a transaction
// that the caller begins and commits.
//
// [OpenSQLite] uses modernc.org/sqlite, which needs no cgo. PostgreSQL needs a
// driver whose errors have a method SQLState() string, such as
// github.com/jackc/pgx/v5/stdlib.
//
// # Operation
//
// The constructors create or update the table in one transaction. Instances
// that start together wait for each other. [Migrate] and [Migrations] do it in
// advance.
//
// A delivery is one row, which is deleted some time after its TTL. Claims
// delete expired rows in small batches, or [Store.RunPruner] does. You may
// delete expired rows by hand. The store forgets a delivery if you delete
// another row.
//
// In production, let the owner of the tables call [Migrate] or run the SQL of
// [Migrations]. Give the service's role only these rights:
//
//	GRANT USAGE ON SCHEMA public TO service;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON deployhook_dedupe TO service;
//	GRANT SELECT ON deployhook_dedupe_schema TO service;
//	GRANT USAGE ON SEQUENCE deployhook_dedupe_token TO service;
//
// A delivery needs two commits, and each waits for the disk. SQLite and a
// single PostgreSQL connection therefore handle about as many deliveries a
// second as the disk can sync. PostgreSQL syncs the commits of many connections
// together. Duplicates only read.
//
// # Poolers
//
// The constructor recognizes PgBouncer and other poolers, and refuses settings
// that fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - The table contains a digest of each key (see [dedupe.NewKey]), but no IDs
//     and no payloads.
//   - Every doubt is an error, so that a receiver answers 503 and the sender
//     retries. Examples are a lost connection, a database that is down, slow,
//     locked, read-only or full, and a schema that is newer than the package.
//   - A full store returns [dedupe.ErrFull]. It forgets nothing to make room,
//     and still recognizes duplicates.
//   - The worker that takes over a lease gets a greater token. From then on the
//     calls and the transaction of the slow worker fail.
//   - The constructors refuse a database that confirms commits before they are
//     on disk, see [InsecureUnsynced].
//   - Statements have parameters and table names are checked, so no input
//     becomes part of the SQL.
//   - No error contains a data source name. If a driver cannot parse a name,
//     its error repeats the name, so the constructors and Migrate replace that
//     error. Other errors of the driver are wrapped and may name host, user and
//     database.
//   - OpenSQLite creates a file that only its owner can read.
//
// # Common mistakes
//
//   - An effect outside the transaction, such as a call to another service,
//     happens at least once, as with any store. It happens before the commit
//     and is not undone. Pass the delivery's ID as an idempotency key, or queue
//     the effect in the same transaction.
//   - Do not complete in one transaction what was done in another. After a
//     crash in between, the delivery is handled twice.
//   - Do not continue in a SQLite transaction after a statement's error. SQLite
//     may have ended the transaction, and then commits each following statement
//     at once. [Store.InTx] prevents that, and CompleteTx fails if it is too
//     late.
//   - Leases and TTLs follow the database's clock. A step of hours forward
//     forgets deliveries that much too early. Choose a TTL that exceeds twice
//     the receiver's tolerance by more than any expected step.
//   - An asynchronous replica lacks the last completions after a failover, so
//     these deliveries are handled again.
//   - Do not put a SQLite file on a network file system, because its locks are
//     unreliable.
//   - Avoid long transactions. In PostgreSQL, a delivery stays in flight while
//     a transaction that completed it is open, even if its process has
//     vanished. Set idle_in_transaction_session_timeout. In SQLite, all other
//     writers wait.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package sqldedupe
