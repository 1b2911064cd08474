// Package sqlledger keeps the deployments that a [deployments.Endpoint] takes in SQLite or PostgreSQL, through
// database/sql.
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
// A SQLite file is the embedded default. Where several instances of a service share the ledger it is PostgreSQL, by another
// constructor and nothing else:
//
//	db, err := sql.Open("pgx", os.Getenv("DATABASE_URL")) // import _ "github.com/jackc/pgx/v5/stdlib"
//	if err != nil {
//		return err
//	}
//	ledger, err := sqlledger.NewPostgres(ctx, db)
//
// The rules are those of [deployments.Apply]; each call is one transaction. Calls for one organization run one after
// the other, under a lock on its row; organizations do not wait for each other in PostgreSQL. In SQLite there is one writer at a time.
// The tables are made, and brought up to date, when the ledger is, also if many instances start at once.
//
// # Least privilege
//
// In production let an owner call [Migrate], or run the SQL of [Migrations], and
// give the service's role these rights alone:
//
//	GRANT USAGE ON SCHEMA public TO service;
//	GRANT SELECT, INSERT, UPDATE ON deployhook_ledger_organizations, deployhook_ledger_deployments TO service;
//	GRANT SELECT ON deployhook_ledger_version TO service;
//
// # Poolers
//
// The constructor recognises PgBouncer and other poolers, and refuses settings that
// fail in transaction mode. [The page on poolers] lists what to set.
//
// # Security
//
//   - Every statement is bound to one organization, and every value is a parameter. Names, IDs and documents are stored as
//     bytes, so neither a collation nor an encoding makes two organizations or two deployments one, and what a document
//     holds, NUL included, can't make a delivery fail for ever.
//   - Documents are kept to the byte: numbers, escapes and white space of metadata and rawPayload come out as they came in.
//   - What Record has returned is committed. OpenSQLite syncs it to disk; PostgreSQL does unless its synchronous_commit is off.
//   - Records hold what pipelines send, e-mail addresses for example. OpenSQLite makes a file that only its owner can read.
//   - No error contains a connection string. A driver that can't parse one repeats
//     it, and the constructors replace that error. Other errors of a driver may
//     name host, user and database.
//
// # Misuses
//
//   - A SQLite file on a network file system, or in several containers: file locks do not hold there.
//   - Deleting rows, or moving them between organizations, by hand while the service runs: numbers must not come up twice. Deleting old
//     records is fine, but their successors' previous commits stay as they are.
//   - A pool without a limit: set sql.DB's SetMaxOpenConns for PostgreSQL.
//   - A restart of PostgreSQL from a backup that is older than what senders were answered: they will not send it again.
//
// [The page on poolers]: https://github.com/deployhook/deployhook/blob/main/internal/sqldb/POOLERS.md
package sqlledger
