package jobdb

import (
	"context"
	"regexp"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// The names of package sqldb that callers need besides a [DB].
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
	// Dialect is the SQL dialect of a database.
	Dialect = sqldb.Dialect
)

// The dialects.
const (
	SQLite   = sqldb.SQLite
	Postgres = sqldb.Postgres
)

// The errors that callers distinguish.
var (
	ErrConfig = sqldb.ErrConfig
	ErrNoRows = sqldb.ErrNoRows
	ErrTx     = sqldb.ErrTx
)

// MinConns is the minimum number of connections of a pool for [NewPostgres]. A
// [Queue] needs one now and then to claim and to settle jobs while transactions
// are open. It takes one more out of the pool to listen, which does not count.
const MinConns = 4

// DB is a database with jobs. Create it with [OpenSQLite] or [NewPostgres]. It
// is safe for concurrent use.
type DB struct {
	*sqldb.DB

	schema  string // unquoted; empty on SQLite
	polling bool   // see Setup
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// OpenSQLite opens a SQLite file with one connection that writes and some that
// read, see [sqldb.OpenFile]. Stop queues before Close.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	file, err := sqldb.OpenFile(ctx, path)
	if err != nil {
		return nil, err
	}
	return &DB{DB: file}, nil
}

// NewPostgres returns a DB that uses pool. The caller owns the pool, so Close
// leaves it open. The tables are in the given schema, which
// [DB.Migrate] creates. The schema's name has 1 to 40 lower-case letters,
// digits and underscores. The pool must allow [MinConns] connections.
// NewPostgres does not connect.
func NewPostgres(pool *pgxpool.Pool, schema string) (*DB, error) {
	if pool == nil {
		return nil, sqldb.ConfigErrorf("the pool is nil; create one with pgxpool.New")
	}
	if n := pool.Config().MaxConns; n < MinConns {
		return nil, sqldb.ConfigErrorf("the pool allows %d connections, but needs at least %d; set MaxConns in pgxpool.Config "+
			"or pool_max_conns in the connection string", n, MinConns)
	}
	if err := checkSchema(schema); err != nil {
		return nil, err
	}
	return &DB{DB: sqldb.NewPool(pool, prefix(schema)), schema: schema}, nil
}

func checkSchema(name string) error {
	if !schemaName.MatchString(name) {
		return sqldb.ConfigErrorf("WithSchema(%.50q): use 1 to 40 lower-case letters, digits and underscores, and do not "+
			"begin with a digit", name)
	}
	return nil
}

// prefix returns the text before the names of tables.
func prefix(schema string) string {
	if schema == "" {
		return ""
	}
	return `"` + schema + `".`
}

// Schema returns the name of the schema on PostgreSQL. It is empty on SQLite.
func (db *DB) Schema() string { return db.schema }

// Collect runs a query and returns the result of scan for each row.
func Collect[T any](ctx context.Context, q Querier, scan func(Row) (T, error), statement string, args ...any) ([]T, error) {
	return sqldb.Collect(ctx, q, scan, statement, args...)
}
