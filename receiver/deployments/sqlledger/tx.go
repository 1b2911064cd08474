package sqlledger

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	sqlitedriver "modernc.org/sqlite"
	sqlitelib "modernc.org/sqlite/lib"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// querier is what *sql.Tx, *sql.Conn and *sql.DB have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// inTx runs f in a transaction that commits if f returns nil. In PostgreSQL it is at read committed, whatever the database's
// default: what waited for a lock must see what its holder committed.
func (l *Ledger) inTx(ctx context.Context, f func(querier) error) (err error) {
	if l.dialect == sqlite {
		return l.inSQLiteTx(ctx, f)
	}
	tx, err := l.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelReadCommitted})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if err := f(tx); err != nil {
		return err
	}
	return tx.Commit()
}

// inSQLiteTx takes SQLite's write lock at once. A transaction that reads first and then finds that somebody else has written
// can't go on, and database/sql has no word for one that begins with the lock.
func (l *Ledger) inSQLiteTx(ctx context.Context, f func(querier) error) error {
	select { // our own writers wait here, where it costs nothing, and in turn
	case l.writer <- struct{}{}:
		defer func() { <-l.writer }()
	case <-ctx.Done():
		return ctx.Err()
	}
	conn, err := connect(ctx, l.db)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := beginImmediate(ctx, conn); err != nil {
		if ctx.Err() != nil { // it may have begun all the same
			rollBack(ctx, conn)
		}
		return err
	}
	committed := false
	defer func() {
		if !committed { // also after a panic
			rollBack(ctx, conn)
		}
	}()
	if err := f(conn); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	// A commit that has begun is not interrupted: what became of it would not be known.
	_, err = conn.ExecContext(context.WithoutCancel(ctx), "COMMIT")
	committed = err == nil
	return err
}

// rollBack also works when ctx has ended: the connection goes back to the pool. SQLite may have ended the transaction by itself,
// which an interrupted write makes it do. The connection is given up only if it can't be told that none is open: with
// a database in memory, everything would go with it.
func rollBack(ctx context.Context, conn *sql.Conn) {
	_, err := conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
	if err != nil && !strings.Contains(err.Error(), "no transaction is active") {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn })
	}
}

// connect waits while the file is locked: a new connection switches it to write-ahead logging, for which SQLite needs it for itself
// and does not wait.
func connect(ctx context.Context, db *sql.DB) (conn *sql.Conn, err error) {
	err = whileBusy(ctx, func() error {
		conn, err = db.Conn(ctx)
		return err
	})
	return conn, err
}

// beginImmediate waits for other processes' writers until ctx ends.
func beginImmediate(ctx context.Context, conn *sql.Conn) error {
	return whileBusy(ctx, func() error {
		_, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE")
		return err
	})
}

// whileBusy repeats what fails because a SQLite file is locked, until ctx ends.
func whileBusy(ctx context.Context, f func() error) error {
	for {
		err := f()
		if err == nil || !isBusy(err) {
			return err
		}
		pause := time.NewTimer(2 * time.Millisecond)
		select {
		case <-ctx.Done():
			pause.Stop()
			return errors.Join(ctx.Err(), err)
		case <-pause.C:
		}
	}
}

func isBusy(err error) bool {
	var e *sqlitedriver.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlitelib.SQLITE_BUSY
}

// orgTx is one organization's records within a transaction that holds its lock.
type orgTx struct {
	q      querier
	stmt   *statements
	org    []byte
	lastID int64
}

var _ deployments.Tx = (*orgTx)(nil)

// inOrgTx runs f with the organization's row locked. create adds it if it is not there; otherwise f runs without a lock, and finds nothing.
func (l *Ledger) inOrgTx(ctx context.Context, organization string, create bool, f func(*orgTx) error) error {
	return l.inTx(ctx, func(q querier) error {
		tx := &orgTx{q: q, stmt: &l.stmt, org: []byte(organization)}
		lock := func() error { return q.QueryRowContext(ctx, l.stmt.lock, tx.org).Scan(&tx.lastID) }
		err := lock()
		if errors.Is(err, sql.ErrNoRows) && create {
			// Somebody else may add it at the same time; then this waits until they are done.
			if _, err = q.ExecContext(ctx, l.stmt.addOrg, tx.org); err == nil {
				err = lock()
			}
		}
		if err != nil && !(errors.Is(err, sql.ErrNoRows) && !create) {
			return err
		}
		return f(tx)
	})
}

func (tx *orgTx) Find(ctx context.Context, deploymentID string) (*deployments.Record, error) {
	return one(tx.q.QueryRowContext(ctx, tx.stmt.find, tx.org, []byte(deploymentID)))
}

func (tx *orgTx) Before(ctx context.Context, p deployments.Position) (*deployments.Record, error) {
	return one(tx.q.QueryRowContext(ctx, tx.stmt.before, tx.org, scope(p), p.ID, p.At, p.At, p.ID))
}

func (tx *orgTx) After(ctx context.Context, p deployments.Position) (*deployments.Record, error) {
	return one(tx.q.QueryRowContext(ctx, tx.stmt.after, tx.org, scope(p), p.ID, p.At, p.At, p.ID))
}

func (tx *orgTx) Insert(ctx context.Context, r *deployments.Record) error {
	r.ID = tx.lastID + 1
	if err := changeOne(ctx, tx.q, tx.stmt.nextID, r.ID, tx.org); err != nil {
		return err
	}
	tx.lastID = r.ID
	return tx.write(ctx, tx.stmt.insert, r)
}

func (tx *orgTx) Update(ctx context.Context, r *deployments.Record) error {
	return tx.write(ctx, tx.stmt.update, r)
}

func (tx *orgTx) write(ctx context.Context, statement string, r *deployments.Record) error {
	document, err := r.Deployment.Encode()
	if err != nil {
		return err
	}
	d, p := r.Deployment, r.Position()
	return changeOne(ctx, tx.q, statement,
		[]byte(d.DeploymentID), []byte(d.Service), []byte(d.Environment), scope(p), string(d.Status), d.StartedAt.UnixMicro(), p.At, document,
		r.PreviousGiven, r.Linked, r.LinkedPRs, r.RecordedAt.UnixMicro(), r.UpdatedAt.UnixMicro(), tx.org, r.ID)
}

// changeOne runs a statement that must change exactly one row.
func changeOne(ctx context.Context, q querier, statement string, args ...any) error {
	result, err := q.ExecContext(ctx, statement, args...)
	if err != nil {
		return err
	}
	if n, err := result.RowsAffected(); err != nil || n != 1 {
		return errors.Join(err, fmt.Errorf("a statement changed %d rows instead of one; were rows deleted by hand?", n))
	}
	return nil
}

// scope is the hash of a service and an environment, each with its length.
func scope(p deployments.Position) []byte {
	text := binary.AppendUvarint(nil, uint64(len(p.Service)))
	text = append(append(text, p.Service...), p.Environment...)
	sum := sha256.Sum256(text)
	return sum[:]
}

// one reads a record, or nil if there is none.
func one(row *sql.Row) (*deployments.Record, error) {
	r, err := scan(row)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return r, err
}

func scan(row interface{ Scan(...any) error }) (*deployments.Record, error) {
	var r deployments.Record
	var document []byte
	var recorded, updated int64
	if err := row.Scan(&r.ID, &document, &r.PreviousGiven, &r.Linked, &r.LinkedPRs, &recorded, &updated); err != nil {
		return nil, err
	}
	d, err := payload.DecodeDeployment(document)
	if err != nil {
		return nil, fmt.Errorf("record %d can't be read: %v", r.ID, err) // not ErrInvalid: the delivery is not at fault
	}
	r.Deployment = d
	r.RecordedAt, r.UpdatedAt = time.UnixMicro(recorded).UTC(), time.UnixMicro(updated).UTC()
	return &r, nil
}
