// Package jobdb has jobs in a table of a SQLite file or of PostgreSQL, next to
// what they are for. The inbox and the outbox use it, which keep deliveries in
// a database.
//
//	db, err := jobdb.OpenSQLite(ctx, "hooks.db")
//	// or jobdb.NewPostgres(pool, "deployhook_inbox")
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	// The steps create the module's tables and jobdb.QueueTable("inbox_job").
//	if err := db.Prepare(ctx, "inbox", steps, jobdb.Setup{}); err != nil {
//		return err
//	}
//	queue := jobdb.NewQueue(db, "inbox_job", faults)
//	err = db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
//		insert := "INSERT INTO {schema}deliveries (id, body) VALUES (?, ?)"
//		if _, err := tx.Exec(ctx, insert, id, body); err != nil {
//			return err
//		}
//		_, err := queue.Insert(ctx, tx, []jobdb.NewJob{{Ref: id}})
//		return err
//	})
//	queue.Kick()
//	return err
//
// The documentation of package sqldb describes how to write statements for both
// databases.
//
// # At least once
//
// A job runs until its worker says that it is done, or until its row is deleted
// together with the record of what it has done. It runs again if its process
// dies, or if the worker is slower than its lease. Two workers may then have
// it. Each checks the row that the job is for, in the transaction that changes
// it.
//
// # Transactions of the caller
//
// [sqldb.DB.WrapSQL] and [sqldb.DB.WrapPgx] take the application's own
// transaction. [Queue.Insert] works in it, with any driver.
//
// # One connection that writes
//
// A SQLite file has one connection for everything that may write. While a
// transaction is open, every other user of that connection waits. Inside
// [DB.InTx] therefore use only the transaction. Several processes may share a
// file and wait for each other's transactions.
//
// DB.Reader has separate connections for queries that change nothing. They do
// not wait for the writer, and see everything that was committed before.
//
// # One module, one schema
//
// On PostgreSQL each module has its own schema, which a role can be granted and
// a person can drop. On SQLite, [DB.Migrate] refuses the file of another
// module.
//
// No error of this package contains a connection string.
package jobdb
