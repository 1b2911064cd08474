package riverdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Dialect is the kind of database.
type Dialect string

// The dialects.
const (
	SQLite   Dialect = "sqlite"
	Postgres Dialect = "postgres"
)

// MinConns is the least number of connections that a pool given to [NewPostgres] must allow: River keeps one to listen, and
// its leader and its producers each need one now and then while transactions are open.
const MinConns = 4

// rollbackTimeout bounds a rollback, which must also run when the transaction's own context has ended.
const rollbackTimeout = 5 * time.Second

// DB is a database that has River in it. Make it with [OpenSQLite] or [NewPostgres]. It is safe for concurrent use.
type DB struct {
	dialect Dialect
	schema  string // quoted, with a dot; empty on SQLite
	name    string // of the schema, bare
	lite    *sql.DB
	pool    *pgxpool.Pool
}

var schemaName = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,39}$`)

// NewPostgres uses pool, which stays the caller's: [DB.Close] leaves it open. Tables are in the given schema, which
// [DB.Migrate] creates. Its name consists of at most 40 lower-case letters, digits and underscores.
// The pool must allow [MinConns] connections. No connection is made yet.
func NewPostgres(pool *pgxpool.Pool, schema string) (*DB, error) {
	if pool == nil {
		return nil, fmt.Errorf("%w: the pool is nil; make one with pgxpool.New", ErrConfig)
	}
	if n := pool.Config().MaxConns; n < MinConns {
		return nil, fmt.Errorf("%w: the pool allows %d connections, and at least %d are needed; set MaxConns in pgxpool.Config "+
			"or pool_max_conns in the connection string", ErrConfig, n, MinConns)
	}
	if !schemaName.MatchString(schema) {
		return nil, fmt.Errorf("%w: schema %q: a name has 1 to 40 lower-case letters, digits and underscores, and does not "+
			"begin with a digit", ErrConfig, schema)
	}
	return &DB{dialect: Postgres, schema: `"` + schema + `".`, name: schema, pool: pool}, nil
}

// Close closes what [OpenSQLite] opened; a PostgreSQL pool stays open. Stop clients first.
func (db *DB) Close() error {
	if db.lite == nil {
		return nil
	}
	return db.lite.Close()
}

// Dialect says which kind of database this is.
func (db *DB) Dialect() Dialect { return db.dialect }

// Schema is the name of the schema on PostgreSQL, and empty on SQLite.
func (db *DB) Schema() string { return db.name }

// Now is the time of the database's clock, cut to microseconds: the one clock that all processes on it share. For a SQLite
// file that is this machine's.
func (db *DB) Now(ctx context.Context) (time.Time, error) {
	if db.dialect == SQLite {
		return time.Now().Truncate(time.Microsecond), nil
	}
	var micros int64
	err := db.QueryRow(ctx, "SELECT {now}").Scan(&micros)
	return Time(micros), err
}

// Micros is how a time is stored: in microseconds since 1970. The zero time is 0.
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

// InTx runs f in a transaction and commits it if f returns nil. After an error or a panic it is rolled back. On SQLite the
// transaction is a writing one from its start, so that it never fails half-way for another's sake. f must not
// keep tx, and must make no call through db or a client's methods without Tx.
func (db *DB) InTx(ctx context.Context, f func(ctx context.Context, tx *Tx) error) error {
	tx, err := db.begin(ctx)
	if err != nil {
		return fmt.Errorf("riverdb: beginning a transaction: %w", err)
	}
	committed := false
	defer func() {
		if !committed {
			tx.rollback(ctx)
		}
	}()
	if err := f(ctx, tx); err != nil {
		return err
	}
	if err := tx.commit(ctx); err != nil {
		return fmt.Errorf("riverdb: committing a transaction: %w", err)
	}
	committed = true
	return nil
}

func (db *DB) begin(ctx context.Context) (*Tx, error) {
	if db.dialect == SQLite {
		tx, err := db.lite.BeginTx(ctx, nil)
		if err != nil {
			return nil, err
		}
		return db.wrapSQL(tx), nil
	}
	tx, err := db.pool.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return db.wrapPgx(tx), nil
}

// Wrap makes the caller's own transaction usable here: a *sql.Tx on the same file for SQLite, a pgx.Tx on the same database for
// PostgreSQL; a *Tx is returned as it is. Anything else is an error that wraps [ErrTx]. It stays the caller's to
// commit or to roll back.
func (db *DB) Wrap(tx any) (*Tx, error) {
	switch own := tx.(type) {
	case *Tx:
		if own != nil && own.db == db {
			return own, nil
		}
		return nil, fmt.Errorf("%w: it belongs to another database handle", ErrTx)
	case *sql.Tx:
		if own != nil && db.dialect == SQLite {
			return db.wrapSQL(own), nil
		}
	case pgx.Tx:
		if own != nil && db.dialect == Postgres {
			return db.wrapPgx(own), nil
		}
	}
	want := "a *sql.Tx on the same SQLite file"
	if db.dialect == Postgres {
		want = "a pgx.Tx on the same PostgreSQL database"
	}
	return nil, fmt.Errorf("%w: it must be %s, not nil, and is %T", ErrTx, want, tx)
}

// Tx is an open transaction, for one goroutine.
type Tx struct {
	querier

	db   *DB
	lite *sql.Tx
	pgx  pgx.Tx
}

func (db *DB) wrapSQL(tx *sql.Tx) *Tx {
	return &Tx{querier: liteQuerier{tx, db}, db: db, lite: tx}
}

func (db *DB) wrapPgx(tx pgx.Tx) *Tx {
	return &Tx{querier: pgxQuerier{tx, db}, db: db, pgx: tx}
}

func (tx *Tx) commit(ctx context.Context) error {
	if tx.lite != nil {
		return tx.lite.Commit()
	}
	return tx.pgx.Commit(ctx)
}

// rollback has nothing to report: what goes wrong here ends the connection, and the transaction with it.
func (tx *Tx) rollback(ctx context.Context) {
	if tx.lite != nil {
		_ = tx.lite.Rollback()
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if err := tx.pgx.Rollback(ctx); err != nil && !errors.Is(err, pgx.ErrTxClosed) {
		return
	}
}
