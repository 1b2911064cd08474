// Package riverdb runs River on a SQLite file or on PostgreSQL behind one API that has no type parameter, for the modules
// that keep deliveries in a database: the inbox and the outbox.
//
//	db, err := riverdb.OpenSQLite(ctx, "hooks.db") // or riverdb.NewPostgres(pool, "deployhook_inbox")
//	if err != nil {
//		return err
//	}
//	defer db.Close()
//	if err := db.Migrate(ctx, "inbox", steps); err != nil { // ours, and then River's tables
//		return err
//	}
//	client, err := db.NewClient(&river.Config{})
//	if err != nil {
//		return err
//	}
//	return db.InTx(ctx, func(ctx context.Context, tx *riverdb.Tx) error {
//		if _, err := tx.Exec(ctx, "INSERT INTO {schema}deliveries (body) VALUES (?)", body); err != nil {
//			return err
//		}
//		_, err := client.InsertTx(ctx, tx, args, nil)
//		return err
//	})
//
// Package sqldb says how statements are written for both databases, and runs them.
//
// # One connection, and who may wait for whom
//
// A SQLite file has one connection for everything that may write. While a transaction is open, whatever else asks for that
// connection waits: inside [DB.InTx] use the transaction and the client's methods whose names end in Tx, never the others.
// Several processes may share a file; they wait for each other's transactions.
//
// # One module, one schema
//
// River's leader discards stuck jobs of kinds that it does not know, those of another module or of the application's own
// River included. So on PostgreSQL each module keeps its tables in a schema of its own, and on SQLite [DB.Migrate] refuses a
// file that is another module's.
//
// No error of this package contains a connection string.
package riverdb
