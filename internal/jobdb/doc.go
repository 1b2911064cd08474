// Package jobdb runs River on a SQLite file or on PostgreSQL, with one API
// and without a type parameter. The inbox and the outbox use it, which keep
// deliveries in a database.
//
//	db, err := jobdb.OpenSQLite(ctx, "hooks.db")
//	// or jobdb.NewPostgres(pool, "deployhook_inbox")
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	// Migrate creates the tables of the module and of River.
//	if err := db.Migrate(ctx, "inbox", steps); err != nil {
//		return err
//	}
//	client, err := db.NewClient(&river.Config{})
//	if err != nil {
//		return err
//	}
//	return db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
//		insert := "INSERT INTO {schema}deliveries (body) VALUES (?)"
//		if _, err := tx.Exec(ctx, insert, body); err != nil {
//			return err
//		}
//		_, err := client.InsertTx(ctx, tx, args, nil)
//		return err
//	})
//
// The documentation of package sqldb describes how to write statements for both
// databases.
//
// # Transactions of the caller
//
// [sqldb.DB.WrapSQL] and [sqldb.DB.WrapPgx] take the application's own
// transaction. In a *sql.Tx on PostgreSQL the client uses River's driver for
// database/sql, which works with pgx and with lib/pq. Workers are notified in
// every case.
//
// # One connection that writes
//
// A SQLite file has one connection for everything that may write. While a
// transaction is open, every other user of that connection waits. Inside
// [DB.InTx] therefore use only the transaction and the client's methods whose
// names end in Tx. Several processes may share a file and wait for each other's
// transactions.
//
// DB.Reader has separate connections for queries that change nothing. They do
// not wait for the writer, and see everything that was committed before.
//
// # One module, one schema
//
// River's leader discards stuck jobs of kinds that it does not know. That
// includes the jobs of another module, and those of the application's own
// River. On PostgreSQL each module therefore has its own schema. On SQLite,
// [DB.Migrate] refuses the file of another module.
//
// No error of this package contains a connection string.
package jobdb
