package sqldedupe

import (
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// OpenSQLite opens or creates a SQLite file and returns a store that owns the
// database. [Store.Close] closes it. A new file is readable only by its owner.
// The directory must exist. Several stores and processes on one machine may
// share a file, but not on a network file system.
//
// OpenSQLite uses these settings:
//
//   - write-ahead logging
//   - synchronous=FULL, which writes every commit to disk before confirming it
//   - immediate transactions
//   - one connection
//   - a wait of up to 10 seconds for a file that another process has locked
//
// Errors are those of [NewSQLite]. A path that is a URI or an in-memory
// database gives an error that wraps [ErrConfig]. For a store in memory use
// dedupe.NewMemory.
func OpenSQLite(ctx context.Context, path string, opts ...Option) (*Store, error) {
	if _, err := newConfig("OpenSQLite", opts); err != nil {
		return nil, err
	}
	db, err := sqldb.OpenSQLite(ctx, path, 1, sqldb.BusyTimeout)
	if err != nil {
		return nil, opened("OpenSQLite", err)
	}
	s, err := newSQLite(ctx, "OpenSQLite", db, opts)
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	s.owned = true
	return s, nil
}

// NewSQLite returns a store in a SQLite database, version 3.42 or later. It
// creates or updates the table and checks that it can be used. Use this store
// for deliveries whose effects are in the same database, see [Store.InTx].
// Otherwise [OpenSQLite] is simpler. The caller owns the database, so
// [Store.Close] does not close it.
//
// NewSQLite refuses the following connections with an [ErrConfig] that names
// the pragma. It checks two connections, because a pragma outside the data
// source name applies to only one.
//
//	busy_timeout       not set, so calls fail while another connection writes
//	journal_mode       MEMORY or OFF
//	synchronous        below FULL
//	read_uncommitted   on, so an uncommitted completion makes a duplicate
//
// For modernc.org/sqlite, use this name together with db.SetMaxOpenConns(1).
// Writers then queue in the process instead of failing on each other's locks.
//
//	file:app.db?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)
//	    &_pragma=synchronous(FULL)&_txlock=immediate
//
// Add mode=rw if the file exists already. A connection then fails if the file
// was deleted. Otherwise it creates an empty file, and all calls fail until the
// process ends.
//
// Errors wrap [ErrConfig] if an option is invalid or the database is
// unsuitable. Other errors are failures of the database and the context's
// error.
func NewSQLite(ctx context.Context, db *sql.DB, opts ...Option) (*Store, error) {
	return newSQLite(ctx, "NewSQLite", db, opts)
}

func newSQLite(ctx context.Context, constructor string, db *sql.DB, opts []Option) (*Store, error) {
	c, n, err := configure(constructor, SQLite, db, opts)
	if err != nil {
		return nil, err
	}
	failed := func(err error) (*Store, error) { return nil, opened(constructor, err) }
	if err := checkSQLite(ctx, db, c); err != nil {
		return failed(err)
	}
	if err := prepareSchema(ctx, db, SQLite, n, c); err != nil {
		return failed(err)
	}
	e := &sqlite{
		find:  statement{text: n.expand(liteFind)},
		take:  statement{text: n.expand(liteTake)},
		later: statement{text: n.expand(liteLater)},
		gone:  statement{text: n.expand(liteGone)},
	}
	s := newStore(db, c, e, n, liteCommon)
	if s.file, err = sqldb.Identify(ctx, db); err != nil {
		return failed(err)
	}
	// Without preparation the driver would parse a statement for each call.
	if err := s.prepare(ctx, &e.find, &e.take, &s.stmts.complete, &s.stmts.renew, &s.stmts.release); err != nil {
		return failed(err)
	}
	return s, nil
}

// checkSQLite checks two connections at once if the database allows two.
func checkSQLite(ctx context.Context, db *sql.DB, c config) error {
	first, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer first.Close()
	if err := checkConnection(ctx, first, c); err != nil {
		return err
	}
	if most := db.Stats().MaxOpenConnections; most > 0 && most-db.Stats().InUse < 1 {
		return nil
	}
	second, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer second.Close()
	return checkConnection(ctx, second, c)
}

func checkConnection(ctx context.Context, conn *sql.Conn, c config) error {
	var clock sql.NullFloat64
	if err := conn.QueryRowContext(ctx, "SELECT unixepoch('subsec')").Scan(&clock); err != nil {
		return sqldb.ConfigErrorf("the store needs SQLite 3.42 or later: %w", err)
	}
	var journal string
	var synchronous, timeout, dirty int
	for pragma, value := range map[string]any{
		"journal_mode": &journal, "synchronous": &synchronous, "busy_timeout": &timeout, "read_uncommitted": &dirty,
	} {
		if err := conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(value); err != nil {
			return err
		}
	}
	switch {
	case !clock.Valid:
		return sqldb.ConfigErrorf("the store needs SQLite 3.42 or later, for unixepoch('subsec')")
	case journal == "memory" || journal == "off":
		return sqldb.ConfigErrorf("journal_mode is %s, so a crash may destroy the database, or it is in memory only; open a file with _pragma=journal_mode(WAL)", journal)
	case synchronous < 2 && !c.unsynced:
		return sqldb.ConfigErrorf("synchronous is %d, so a power cut loses confirmed commits; open the database with _pragma=synchronous(FULL), "+
			"or use InsecureUnsynced", synchronous)
	case timeout <= 0:
		return sqldb.ConfigErrorf("busy_timeout is 0, so every call fails while another connection writes; open the database with _pragma=busy_timeout(10000)")
	case dirty != 0:
		return sqldb.ConfigErrorf("read_uncommitted is on, so a delivery could be a duplicate of one whose transaction is rolled back later; " +
			"open the database without that pragma")
	}
	return nil
}

// Times are integers in milliseconds since 1970 by the machine's clock. SQLite
// has no clock with a higher precision.
const liteNow = `CAST(round(unixepoch('subsec') * 1000) AS INTEGER)`

const (
	liteFind = `SELECT completed_by IS NOT NULL, expires - ` + liteNow + ` FROM {table} WHERE key = ?1 AND expires > ` + liteNow

	// The next token of a row is its last token plus one. The token of a new
	// row is greater than that of every deleted row.
	liteTake = `INSERT INTO {table} AS t (key, token, expires, sweep)
		VALUES (?1, (SELECT floor + 1 FROM {floor}), ` + liteNow + ` + ?2, ` + liteNow + ` + ?2 + ?3)
		ON CONFLICT (key) DO UPDATE SET token = t.token + 1, completed_by = NULL, expires = excluded.expires, sweep = excluded.sweep
		WHERE t.expires <= ` + liteNow + ` RETURNING token`

	liteDue   = `key IN (SELECT key FROM {table} WHERE sweep <= ?2 ORDER BY sweep LIMIT ?1)`
	liteLater = `UPDATE {table} SET sweep = expires WHERE ` + liteDue + ` AND expires > ?2`
	liteGone  = `DELETE FROM {table} WHERE ` + liteDue + ` AND expires <= ?2`
)

var liteCommon = commonStatements{
	complete: `UPDATE {table} SET completed_by = ?2, expires = ` + liteNow + ` + ?3
		WHERE key = ?1 AND (expires <= ` + liteNow + ` OR token = ?2 AND completed_by IS NULL) RETURNING 1`,
	completeNew: `INSERT INTO {table} (key, token, completed_by, expires, sweep)
		VALUES (?1, (SELECT max(floor, ?2) FROM {floor}), ?2, ` + liteNow + ` + ?3, ` + liteNow + ` + ?3)
		ON CONFLICT (key) DO NOTHING RETURNING 1`,
	standing: `SELECT coalesce(completed_by, 0), expires > ` + liteNow + ` FROM {table} WHERE key = ?1`,
	renew: `UPDATE {table} SET expires = ` + liteNow + ` + ?3
		WHERE key = ?1 AND token = ?2 AND completed_by IS NULL AND expires > ` + liteNow + ` RETURNING 1`,
	release: `UPDATE {table} SET expires = 0
		WHERE key = ?1 AND token = ?2 AND completed_by IS NULL AND expires > ` + liteNow + ` RETURNING 1`,
	count:   `SELECT count(*), coalesce(min(expires) - ` + liteNow + `, 0) FROM {table} WHERE expires > ` + liteNow,
	confirm: `SELECT coalesce(completed_by, 0) FROM {table} WHERE key = ?1`,
	probe:   `INSERT INTO {table} (key, token, expires, sweep) VALUES (?, 0, 0, 0)`,
}

type sqlite struct {
	find, take, later, gone statement
}

func (l *sqlite) dialect() Dialect            { return SQLite }
func (l *sqlite) units(d time.Duration) int64 { return ceil(d, time.Millisecond) }
func (l *sqlite) unit() time.Duration         { return time.Millisecond }

// completesFirst returns true, because the completion waits for the lock on the
// file. A transaction that first reads and later writes cannot get the lock if
// another one wrote in between.
func (l *sqlite) completesFirst() bool { return true }
func (l *sqlite) learn(error)          {}

// claim first reads, so that duplicates need neither the lock on the file nor
// disk space.
func (l *sqlite) claim(ctx context.Context, r runner, key dedupe.Key, lease, ttl int64) (answer, error) {
	for try := range claimTries {
		if err := pause(ctx, try); err != nil {
			return answer{}, err
		}
		var a answer
		if found, err := r.one(ctx, &l.find, []any{key[:]}, &a.completed, &a.rest); err != nil || found {
			return a, err
		}
		if taken, err := r.one(ctx, &l.take, []any{key[:], lease, ttl}, &a.token); err != nil || taken {
			return a, err
		}
	}
	// Each time the key was free when read but claimed when written, so other
	// callers claimed it meanwhile.
	return answer{rest: int64(lockedWait / l.unit())}, nil
}

func (l *sqlite) prune(ctx context.Context, db *sql.DB, batch int) (deleted, later int64, err error) {
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return 0, 0, err
	}
	defer func() { _ = tx.Rollback() }() // no effect after a commit
	var now int64
	if err := tx.QueryRowContext(ctx, "SELECT "+liteNow).Scan(&now); err != nil {
		return 0, 0, err
	}
	for _, part := range []struct {
		st   *statement
		rows *int64
	}{{&l.later, &later}, {&l.gone, &deleted}} {
		result, err := tx.ExecContext(ctx, part.st.text, batch, now)
		if err != nil {
			return 0, 0, err
		}
		if *part.rows, err = result.RowsAffected(); err != nil {
			return 0, 0, err
		}
	}
	return deleted, later, tx.Commit()
}

func (l *sqlite) auto(_ context.Context, db *sql.DB, f func(runner) error) error {
	return f(direct{db})
}
