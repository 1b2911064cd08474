// Package sqldb holds the common code of all SQL stores of this repository. It
// opens and checks a SQLite file or a PostgreSQL pool, runs statements that are
// written once for both, migrates tables, and runs transactions. The stores
// sqldedupe and sqlledger use it directly, and the inbox and the outbox through
// package jobdb.
//
//	db, err := sqldb.OpenSQLite(ctx, "hooks.db", 1, sqldb.BusyTimeout)
//	if err != nil {
//		return sqldb.WithSentinel(ErrConfig, "hooks", err)
//	}
//	store := sqldb.New(db, sqldb.SQLite, "hooks_")
//	if err := store.Migrate(ctx, plan); err != nil {
//		return sqldb.WithSentinel(ErrConfig, "hooks", err)
//	}
//	return store.InTx(ctx, func(ctx context.Context, tx *sqldb.Tx) error {
//		insert := "INSERT INTO {schema}delivery (body) VALUES (?)"
//		_, err := tx.Exec(ctx, insert, body)
//		return err
//	})
//
// # Statements for both databases
//
// A statement is written once, see [Dialect.Rewrite]. Use only the features
// that both databases have, such as bigint, text and bytes ({text} and {blob}
// in a migration), ON CONFLICT, RETURNING and partial indexes. Avoid arrays.
// Store times as integers in microseconds since 1970, see [Micros] and [Time].
//
// # Lists and writes
//
// Lists and other queries that change nothing use [DB.Reader]. In a file of
// [OpenFile] they do not wait for the writer. [DB.Scrub] removes what was
// deleted from such a file.
//
// # Sessions
//
// This package does not depend on a PostgreSQL session. The lock for migrations
// belongs to a transaction, so everything also works through a pooler in
// transaction mode, see [CheckPooler].
//
// No error of this package contains a connection string.
package sqldb
