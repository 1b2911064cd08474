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
	// sqliteConns allows readers to run while one connection writes.
	sqliteConns = 4
	// sqliteBusy is short because SQLite ignores contexts while it waits.
	// sqldb.WhileBusy then retries until the context ends.
	sqliteBusy = 50 * time.Millisecond
)

// NewPostgres returns a ledger in the PostgreSQL database (12 or later) of db.
// The driver must use $1 for parameters, as pgx does. NewPostgres creates or
// updates the tables, unless [WithoutMigration] is set. The caller closes db.
// Errors wrap [ErrConfig] or the database's error.
func NewPostgres(ctx context.Context, db *sql.DB, opts ...Option) (*Ledger, error) {
	return newLedger(ctx, db, Postgres, opts)
}

// NewSQLite is [NewPostgres] for a SQLite database (3.42 or later). Open db
// with modernc.org/sqlite. Another driver needs a busy timeout, or calls fail
// while another process writes. Limit a database in memory to one connection,
// because each connection has its own database.
func NewSQLite(ctx context.Context, db *sql.DB, opts ...Option) (*Ledger, error) {
	return newLedger(ctx, db, SQLite, opts)
}

// OpenSQLite returns a ledger in the SQLite file at path. It creates a missing
// file, readable only by its owner. The directory must exist. Several processes
// of one machine may share the file and may start at the same time. Close the
// ledger after use.
//
// Errors are those of [NewSQLite]. A path that is a URI or names a database in
// memory is an error that wraps [ErrConfig]. For a ledger in memory use
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
	if err := l.db.Identify(ctx); err != nil {
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
		return fmt.Errorf("%w: the dialect is %v; use Postgres or SQLite", ErrConfig, d)
	}
	return nil
}

// opened turns an error of the database package into a ledger error.
func opened(err error) error { return sqldb.WithSentinel(ErrConfig, "sqlledger", err) }

// Close closes the ledger. It waits for running statements and closes a file
// that [OpenSQLite] opened. The database of [NewPostgres] and [NewSQLite] stays
// open. Later calls return [deployments.ErrClosed].
//
// Closing again, or closing a nil or zero Ledger, does nothing.
func (l *Ledger) Close() error {
	if l == nil || l.db == nil || l.closed.Swap(true) || !l.owned {
		return nil
	}
	return l.db.SQL().Close()
}
