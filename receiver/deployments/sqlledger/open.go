package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/internal/sqldb"
)

const (
	// sqliteConns lets readers go on beside the writer.
	sqliteConns = 4
	// sqliteBusy is short because SQLite does not look at contexts while it waits.
	// sqldb.WhileBusy waits for as long as the context allows.
	sqliteBusy = 50 * time.Millisecond
)

// NewPostgres returns a ledger in the PostgreSQL database (12 or later) that db is
// a pool of connections to, made with any driver that takes $1 for a parameter,
// such as pgx. It creates the tables or updates them, unless [WithoutMigration] is
// given. db stays the caller's. Errors wrap [ErrConfig], or what the database said.
func NewPostgres(ctx context.Context, db *sql.DB, opts ...Option) (*Ledger, error) {
	return newLedger(ctx, db, Postgres, opts)
}

// NewSQLite is [NewPostgres] for a SQLite database (3.42 or later). db should be
// made with modernc.org/sqlite. With another driver give it a busy timeout, or
// calls fail when another process writes. Databases in memory must be limited to
// one connection, because each connection has its own.
func NewSQLite(ctx context.Context, db *sql.DB, opts ...Option) (*Ledger, error) {
	return newLedger(ctx, db, SQLite, opts)
}

// OpenSQLite returns a ledger in a SQLite file, which it creates, readable by its
// owner alone, if it is missing. The directory must exist. Several processes of
// one machine may share the file, and may start together. Close the ledger when it
// is no longer needed. Errors are those of [NewSQLite]. A path that is a URI, or
// names a database in memory, wraps [ErrConfig]. For a ledger in memory use
// deployments.NewMemoryLedger.
func OpenSQLite(ctx context.Context, path string, opts ...Option) (*Ledger, error) {
	if _, err := newConfig(opts); err != nil {
		return nil, err
	}
	db, err := sqldb.OpenSQLite(ctx, path, sqliteConns, sqliteBusy)
	if err != nil {
		return nil, opened(err)
	}
	l, err := NewSQLite(ctx, db, opts...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l.owned = true
	return l, nil
}

func newLedger(ctx context.Context, db *sql.DB, d Dialect, opts []Option) (*Ledger, error) {
	c, err := configure(d, db, opts)
	if err != nil {
		return nil, err
	}
	l := &Ledger{db: sqldb.New(db, d, c.prefix), lock: lockOrg(d)}
	if _, err := l.db.CheckPooler(ctx, c.prepared); err != nil {
		return nil, opened(err)
	}
	if err := l.prepareSchema(ctx, c); err != nil {
		return nil, opened(err)
	}
	return l, nil
}

func configure(d Dialect, db *sql.DB, opts []Option) (config, error) {
	c, err := newConfig(opts)
	if db == nil {
		err = errors.Join(err, fmt.Errorf("%w: the *sql.DB is nil; make it with sql.Open and check its error", ErrConfig))
	}
	return c, errors.Join(err, checkDialect(d))
}

func checkDialect(d Dialect) error {
	if d != Postgres && d != SQLite {
		return fmt.Errorf("%w: %v: the dialect must be Postgres or SQLite", ErrConfig, d)
	}
	return nil
}

// opened makes an error of opening the ledger's.
func opened(err error) error { return sqldb.WithSentinel(ErrConfig, "sqlledger", err) }

// Close closes what [OpenSQLite] opened. For a ledger on the caller's own sql.DB
// it does nothing. Calls after it fail.
func (l *Ledger) Close() error {
	if l == nil || !l.owned {
		return nil
	}
	return l.db.SQL().Close()
}
