package sqldedupe

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	sqlitedriver "modernc.org/sqlite"
)

// guard prevents commits after SQLite has ended a transaction on its own.
// SQLite would otherwise commit each following statement separately. While the
// guard is on, it turns every commit of the connection into a rollback. A nil
// guard does nothing.
type guard struct {
	conn  *sql.Conn
	armed bool
}

func (l *sqlite) begin(ctx context.Context, db *sql.DB) (*sql.Tx, *guard, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, nil, err
	}
	tx, err := conn.BeginTx(ctx, nil)
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	return tx, &guard{conn: conn}, nil
}

func (g *guard) on() error {
	if g == nil {
		return nil
	}
	return g.conn.Raw(func(c any) error {
		g.armed = refuseCommits(c, true)
		return nil
	})
}

func (g *guard) off() error {
	if !g.armed {
		return nil
	}
	err := g.conn.Raw(func(c any) error {
		refuseCommits(c, false)
		return nil
	})
	g.armed = err != nil
	return err
}

// close removes the guard after the end of the transaction and returns the
// connection to the pool.
func (g *guard) close() {
	if g == nil {
		return
	}
	// It fails only if the connection was closed.
	_ = g.off()
	_ = g.conn.Close() // gives it back; an error says that it was closed before
}

// refuseCommits sets or removes the commit hook of a connection. It returns
// false if the driver has no hook.
func refuseCommits(conn any, on bool) bool {
	switch c := conn.(type) {
	case interface {
		RegisterCommitHook(sqlitedriver.CommitHookFn)
	}:
		if !on {
			c.RegisterCommitHook(nil)
			return true
		}
		c.RegisterCommitHook(func() int32 { return 1 })
		return true
	case interface{ RegisterCommitHook(func() int) }:
		// github.com/mattn/go-sqlite3
		if !on {
			c.RegisterCommitHook(nil)
			return true
		}
		c.RegisterCommitHook(func() int { return 1 })
		return true
	case interface{ Raw() driver.Conn }: // a wrapper, for example for tracing
		return refuseCommits(c.Raw(), on)
	}
	return false
}

// inside runs a statement that SQLite refuses inside a transaction. Outside it
// has no effect, because the temporary database does not use the setting.
func (l *sqlite) inside(ctx context.Context, tx Tx) error {
	var nothing any
	_, err := (within{tx}).one(ctx, &statement{text: "PRAGMA temp.synchronous = FULL"}, nil, &nothing)
	if err != nil && strings.Contains(err.Error(), "inside a transaction") {
		return nil
	}
	if err == nil {
		return fmt.Errorf("there is no transaction, or SQLite ended it after an error: %w", sql.ErrTxDone)
	}
	return err
}
