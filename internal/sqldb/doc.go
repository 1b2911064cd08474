// Package sqldb is what every SQL store of this repository shares. It opens and
// checks a SQLite file or a PostgreSQL pool, runs statements that are written once
// for both, migrates tables, and runs transactions. The stores are sqldedupe,
// sqlledger, and, through package riverdb, the inbox and the outbox.
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
//		_, err := tx.Exec(ctx, "INSERT INTO {schema}delivery (body) VALUES (?)", body)
//		return err
//	})
//
// # Statements for both
//
// A statement is written once, see [Dialect.Rewrite]. Keep to what both databases
// take: bigint, text and bytes ({blob} in a migration), ON CONFLICT, RETURNING,
// partial indexes. Avoid arrays. Times are integers: microseconds since 1970
// ([Micros], [Time]).
//
// # Sessions
//
// Nothing here depends on a PostgreSQL session. The lock of migrations is one of a
// transaction, so everything also works through a pooler in transaction mode, see
// [CheckPooler].
//
// No error of this package contains a connection string.
package sqldb
