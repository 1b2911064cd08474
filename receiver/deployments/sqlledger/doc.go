// Package sqlledger stores the deployments of a deployments.Endpoint in
// SQLite or PostgreSQL, through database/sql.
//
//	ledger, err := sqlledger.OpenSQLite(ctx, "deployments.db")
//	if err != nil {
//		return err
//	}
//	defer ledger.Close()
//	endpoint, err := deployments.New(keys, ledger) // keys from signer.NewAPIKeys
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /api/webhooks/deployments", endpoint)
//
// A SQLite file is the embedded default. To share the ledger between instances
// of a service, use PostgreSQL. Only the constructor changes:
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // import _ "github.com/jackc/pgx/v5/stdlib"
//	if err != nil {
//		return err
//	}
//	ledger, err := sqlledger.NewPostgres(ctx, db)
//
// The ledger follows the rules of [deployments.Apply]. Each call is one
// transaction. Calls for one organization run one after the other, under a lock
// on the organization's row. In PostgreSQL, different organizations do not wait
// for each other. SQLite has one writer at a time. The constructors create or
// update the tables, even if many instances start at once.
//
// # Least privilege
//
// In production, let an owner call [Migrate] or run the SQL of [Migrations].
// Give the service's role only these rights:
//
//	GRANT USAGE ON SCHEMA public TO service;
//	GRANT SELECT, INSERT, UPDATE ON deployhook_ledger_organizations, deployhook_ledger_deployments TO service;
//	GRANT SELECT, INSERT, UPDATE ON deployhook_ledger_runs, deployhook_ledger_scopes, deployhook_ledger_incidents TO service;
//	GRANT SELECT ON deployhook_ledger_version TO service;
//
// # Poolers
//
// The constructor recognises PgBouncer and other poolers, and refuses settings
// that fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - Every statement is limited to one organization, and every value is a
//     parameter. Names, IDs and documents are stored as bytes. No collation or
//     encoding can therefore merge two organizations or deployments, and no
//     content of a document, such as NUL, can make its delivery fail forever.
//   - Documents are kept to the byte. Numbers, escapes and white space in
//     metadata and rawPayload do not change.
//   - When Record returns, its change is committed. OpenSQLite syncs it to
//     disk. PostgreSQL does too, unless its synchronous_commit is off.
//   - Records contain what pipelines send, such as e-mail addresses. OpenSQLite
//     creates a file that only its owner can read.
//   - No error contains a connection string. Drivers repeat a connection string
//     that they cannot parse, so the constructors replace that error. Other
//     driver errors may name host, user and database.
//
// # Misuses
//
//   - A SQLite file on a network file system or shared by containers. File
//     locks do not work there.
//   - Deleting rows, or moving them between organizations, by hand while the
//     service runs. A number must not be used twice. Deleting old records is
//     fine, but the previous commits of their successors stay.
//   - A PostgreSQL pool without a limit. Set SetMaxOpenConns of the sql.DB.
//   - Restoring PostgreSQL from a backup that is older than answered
//     deliveries. Senders will not send those again.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package sqlledger
