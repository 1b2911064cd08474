package sqldb

import (
	"context"
	"database/sql"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is a database for statements that are written once for both dialects.
// Create it with [New] or [NewPool]. It is safe for concurrent use.
type DB struct {
	dialect Dialect
	prefix  string
	sql     *sql.DB
	pool    *pgxpool.Pool // instead of sql
	// writer serializes the transactions of SQLite, see [Tx]. It is nil if
	// transactions lock the file themselves.
	writer chan struct{}
	// file is set by [OpenFile].
	file *file
	// identity is set by [OpenFile] and [DB.Identify].
	identity *Identity
}

// New returns a DB for db, a SQLite file or PostgreSQL. prefix precedes the
// names of tables. It is a quoted schema with its dot, or the beginning of a
// name. The caller owns db.
//
// On SQLite every transaction begins with the lock on the file, even if db was
// opened differently.
func New(db *sql.DB, d Dialect, prefix string) *DB {
	made := &DB{dialect: d, prefix: prefix, sql: db}
	if d == SQLite {
		made.writer = make(chan struct{}, 1)
	}
	return made
}

// NewImmediate is [New] for a SQLite file of [OpenSQLite]. Its transactions
// lock the file themselves, so each [Tx] has a *sql.Tx.
func NewImmediate(db *sql.DB, prefix string) *DB {
	return &DB{dialect: SQLite, prefix: prefix, sql: db}
}

// NewPool is [New] for PostgreSQL with pgx's native interface.
func NewPool(pool *pgxpool.Pool, prefix string) *DB {
	return &DB{dialect: Postgres, prefix: prefix, pool: pool}
}

// Identify makes transactions of a SQLite database fail after its file was
// deleted or replaced. Call it soon after the database was opened.
func (db *DB) Identify(ctx context.Context) (err error) {
	if db.dialect == SQLite {
		db.identity, err = Identify(ctx, db.sql)
	}
	return err
}

// Dialect returns the SQL dialect of the database.
func (db *DB) Dialect() Dialect { return db.dialect }

// SQL returns the *sql.DB behind db. It is nil for a pgx pool.
func (db *DB) SQL() *sql.DB { return db.sql }

// Pool returns the pgx pool behind db. It is nil for a *sql.DB.
func (db *DB) Pool() *pgxpool.Pool { return db.pool }

// Text returns a statement in the database's dialect, see [Dialect.Rewrite].
func (db *DB) Text(statement string) string { return db.dialect.Rewrite(statement, db.prefix) }

// Now returns the time of the database's clock in microseconds. All processes
// that use the database share this clock. For a SQLite file it is the machine's
// clock.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if db.dialect == SQLite {
		return time.Now().Truncate(time.Microsecond), nil
	}
	var micros int64
	err := db.QueryRow(ctx, "SELECT {now}").Scan(&micros)
	return Time(micros), err
}

// Micros returns the stored form of a time, in microseconds since 1970. The
// zero time is 0.
func Micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// Time is the reverse of [Micros], in UTC.
func Time(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
