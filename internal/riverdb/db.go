package riverdb

import (
	"context"
	"database/sql"
	"fmt"
	"regexp"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// What callers need of package sqldb besides a [DB].
type (
	// Querier runs statements: a [DB] outside any transaction, or a [Tx].
	Querier = sqldb.Querier
	// Tx is an open transaction, for one goroutine.
	Tx = sqldb.Tx
	// Row is one row of a result.
	Row = sqldb.Row
	// Rows is a result.
	Rows = sqldb.Rows
	// Step is one version of a module's tables.
	Step = sqldb.Step
	// Migration is one step as SQL for a person or a tool to run.
	Migration = sqldb.Migration
	// Dialect is a database's kind of SQL.
	Dialect = sqldb.Dialect
)

// The dialects.
const (
	SQLite   = sqldb.SQLite
	Postgres = sqldb.Postgres
)

// The errors that callers tell apart.
var (
	ErrConfig = sqldb.ErrConfig
	ErrNoRows = sqldb.ErrNoRows
	ErrTx     = sqldb.ErrTx
)

// MinConns is the least number of connections that a pool given to [NewPostgres]
// must allow. River keeps one to listen, and its leader and its producers each
// need one now and then while transactions are open.
const MinConns = 4

// DB is a database that has River in it. Make it with [OpenSQLite] or
// [NewPostgres]. It is safe for concurrent use.
type DB struct {
	*sqldb.DB

	schema string // bare; empty on SQLite
	// What Prepare found out.
	polling   bool
	noReindex bool
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// OpenSQLite opens a SQLite file with one connection, see [sqldb.OpenSQLite].
// With more, River's own parts meet SQLITE_BUSY in each other. [DB.Close] closes it.
// It fails on 32-bit systems, for which River has no SQLite driver.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	if _, err := sqliteDriver(nil); err != nil {
		return nil, err // before it makes a file
	}
	lite, err := sqldb.OpenSQLite(ctx, path, 1, sqldb.BusyTimeout)
	if err != nil {
		return nil, err
	}
	return &DB{DB: sqldb.NewImmediate(lite, "")}, nil
}

// NewPostgres uses pool, which stays the caller's: [DB.Close] leaves it open.
// Tables are in the given schema, which [DB.Migrate] creates. Its name consists of
// at most 40 lower-case letters, digits and underscores. The pool must allow
// [MinConns] connections. No connection is made yet.
func NewPostgres(pool *pgxpool.Pool, schema string) (*DB, error) {
	if pool == nil {
		return nil, sqldb.ConfigErrorf("the pool is nil; make one with pgxpool.New")
	}
	if n := pool.Config().MaxConns; n < MinConns {
		return nil, sqldb.ConfigErrorf("the pool allows %d connections, and at least %d are needed; set MaxConns in pgxpool.Config "+
			"or pool_max_conns in the connection string", n, MinConns)
	}
	if err := checkSchema(schema); err != nil {
		return nil, err
	}
	return &DB{DB: sqldb.NewPool(pool, prefix(schema)), schema: schema}, nil
}

func checkSchema(name string) error {
	if !schemaName.MatchString(name) {
		return sqldb.ConfigErrorf("WithSchema(%.50q): a name has 1 to 40 lower-case letters, digits and underscores, and does not "+
			"begin with a digit", name)
	}
	return nil
}

// prefix returns what stands before the names of tables.
func prefix(schema string) string {
	if schema == "" {
		return ""
	}
	return `"` + schema + `".`
}

// Close closes what [OpenSQLite] opened. A PostgreSQL pool stays open. Stop
// clients first.
func (db *DB) Close() error {
	if lite := db.SQL(); lite != nil {
		return lite.Close()
	}
	return nil
}

// Schema returns the name of the schema on PostgreSQL. It is empty on SQLite.
func (db *DB) Schema() string { return db.schema }

// Wrap is [sqldb.DB.Wrap] for transactions that River can insert jobs in: a
// *sql.Tx on SQLite, a pgx.Tx on PostgreSQL.
func (db *DB) Wrap(tx any) (*Tx, error) {
	if _, ok := tx.(*sql.Tx); ok && db.Dialect() == Postgres {
		return nil, fmt.Errorf("%w: it must be a pgx.Tx on the same PostgreSQL database, and is %T", ErrTx, tx)
	}
	return db.DB.Wrap(tx)
}

// Collect runs a query and returns what scan makes of each row.
func Collect[T any](ctx context.Context, q Querier, scan func(Row) (T, error), statement string, args ...any) ([]T, error) {
	return sqldb.Collect(ctx, q, scan, statement, args...)
}
