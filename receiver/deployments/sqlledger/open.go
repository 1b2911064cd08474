package sqlledger

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // the driver of OpenSQLite
)

// NewPostgres returns a ledger in the PostgreSQL database (12 or later) that db is a pool of connections to, made with any driver that
// takes $1 for a parameter, pgx for example. It makes the tables or brings them up to date, unless [WithoutMigration] is given.
// db stays the caller's. Errors wrap [ErrConfig], [ErrSchema], or what the database said.
func NewPostgres(ctx context.Context, db *sql.DB, opts ...Option) (*Ledger, error) {
	return newLedger(ctx, db, postgres, opts)
}

// NewSQLite is [NewPostgres] for a SQLite database (3.35 or later). db should be made with modernc.org/sqlite; with another
// driver give it a busy timeout, or calls fail when another process writes. In-memory databases must be limited to one
// connection, or each would be another database.
func NewSQLite(ctx context.Context, db *sql.DB, opts ...Option) (*Ledger, error) {
	return newLedger(ctx, db, sqlite, opts)
}

// OpenSQLite returns a ledger in a SQLite file, which it makes, readable by its owner alone, if there is none. Several processes of one
// machine may share the file, and may start together: while it is locked this waits until ctx ends. Its directory must exist. Close the ledger when it is no longer needed. Errors are those of [NewSQLite].
func OpenSQLite(ctx context.Context, path string, opts ...Option) (*Ledger, error) {
	if path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:") {
		return nil, fmt.Errorf("%w: OpenSQLite: want the path of a file; for a ledger in memory use deployments.NewMemoryLedger, for a URI NewSQLite", ErrConfig)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlledger: open: %w", err)
	}
	// SQLite gives its other files the permissions of this one.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("sqlledger: open: %w", err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("sqlledger: open: %w", err)
	}
	db, err := sql.Open("sqlite", sqliteDSN(path))
	if err != nil {
		return nil, fmt.Errorf("sqlledger: open: %w", err)
	}
	db.SetMaxOpenConns(4)
	l, err := NewSQLite(ctx, db, opts...)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	l.owned = db
	return l, nil
}

// sqliteDSN: readers do not wait for the writer (WAL), and a commit is on disk (synchronous). The busy timeout is short because
// SQLite does not look at contexts while it waits; whileBusy waits for as long as its context allows.
func sqliteDSN(path string) string {
	escaped := (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath()
	if !strings.HasPrefix(escaped, "/") { // a drive letter
		escaped = "/" + escaped
	}
	return "file:" + escaped + "?_pragma=busy_timeout(50)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"
}

func newLedger(ctx context.Context, db *sql.DB, d *dialect, opts []Option) (*Ledger, error) {
	c, err := newConfig(opts)
	if db == nil {
		err = errors.Join(err, fmt.Errorf("%w: the *sql.DB is nil; make it with sql.Open and check its error", ErrConfig))
	}
	if err != nil {
		return nil, err
	}
	l := &Ledger{db: db, dialect: d, stmt: newStatements(d, c.prefix), writer: make(chan struct{}, 1)}
	if err := l.prepareSchema(ctx, c); err != nil {
		return nil, wrap("open", withoutDSN(err))
	}
	return l, nil
}

// Close closes what [OpenSQLite] opened. For a ledger on the caller's own sql.DB it does nothing. Calls after it fail.
func (l *Ledger) Close() error {
	if l.owned == nil {
		return nil
	}
	return l.owned.Close()
}
