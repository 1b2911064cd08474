package sqldb

import (
	"container/list"
	"context"
	"database/sql/driver"
	"strings"

	"modernc.org/sqlite"
)

const (
	// keptStatements is the number of prepared statements that a SQLite
	// connection keeps.
	keptStatements = 128
	// longStatement is the length in bytes above which a statement is not kept,
	// since it would need much memory.
	longStatement = 16 << 10
)

// keeper makes connections that keep their prepared statements. SQLite has no
// such cache, and it needs longer to prepare a typical statement than to run
// it.
type keeper struct{ driver.Connector }

// Connect implements driver.Connector.
func (k keeper) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := k.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	if lite, ok := conn.(liteConn); ok {
		return &keepingConn{liteConn: lite, byText: map[string]*list.Element{}}, nil
	}
	return conn, nil // of another version of the driver
}

// liteConn is what a connection of the driver must have to be wrapped.
type liteConn interface {
	driver.Conn
	driver.ConnBeginTx
	driver.ConnPrepareContext
	driver.ExecerContext
	driver.QueryerContext
	driver.Pinger
	driver.SessionResetter
	driver.Validator
	sqlite.DBStatus
	sqlite.FileControl
	sqlite.HookRegisterer
}

// keepingConn keeps the statements that ran most recently, by their text. A
// statement is not in the list while it runs and while its rows are open. The
// same text can therefore run twice at once. database/sql uses a connection and
// its rows from one goroutine at a time.
//
// A kept statement has been reset, so it holds no lock and no snapshot. SQLite
// prepares it again by itself after a change of the schema.
type keepingConn struct {
	liteConn

	byText map[string]*list.Element
	recent list.List // of *kept, and the one that ran last is the first
}

// kept is a prepared statement.
type kept struct {
	liteStmt

	text string
}

type liteStmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
}

// Unwrap returns the driver's own connection. The driver's functions use it.
func (c *keepingConn) Unwrap() driver.Conn { return c.liteConn }

// ExecContext implements driver.ExecerContext.
func (c *keepingConn) ExecContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Result, error) {
	s, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.liteConn.ExecContext(ctx, text, args)
	}
	result, err := s.ExecContext(ctx, args)
	c.put(s, err)
	return result, err
}

// QueryContext implements driver.QueryerContext.
func (c *keepingConn) QueryContext(ctx context.Context, text string, args []driver.NamedValue) (driver.Rows, error) {
	s, err := c.take(ctx, text)
	if err != nil {
		return nil, err
	}
	if s == nil {
		return c.liteConn.QueryContext(ctx, text, args)
	}
	rows, err := s.QueryContext(ctx, args)
	if err != nil {
		c.put(s, err)
		return nil, err
	}
	return &keptRows{rows, c, s}, nil
}

// Close implements driver.Conn. SQLite would keep the file open as long as
// there is a statement.
func (c *keepingConn) Close() error {
	for c.recent.Len() > 0 {
		c.evict()
	}
	return c.liteConn.Close()
}

// take returns the statement for a text, which it prepares if necessary. It
// returns nil if the text is not worth keeping.
func (c *keepingConn) take(ctx context.Context, text string) (*kept, error) {
	if e := c.byText[text]; e != nil {
		delete(c.byText, text)
		return c.recent.Remove(e).(*kept), nil
	}
	// The driver takes space after the statement for a second one, and prepares
	// both each time they run.
	trimmed := strings.TrimSpace(text)
	if len(text) > longStatement || !isQuery(trimmed) {
		return nil, nil
	}
	stmt, err := c.PrepareContext(ctx, trimmed)
	if err != nil {
		return nil, err
	}
	lite, ok := stmt.(liteStmt)
	if !ok { // of another version of the driver
		return nil, stmt.Close()
	}
	return &kept{lite, text}, nil
}

// isQuery reports whether a text begins as a statement that a store runs again
// and again. Others prepare quickly or run rarely, such as COMMIT and ALTER.
func isQuery(text string) bool {
	verb := text[:max(strings.IndexAny(text, " \t\r\n"), 0)]
	switch strings.ToUpper(verb) {
	case "SELECT", "INSERT", "UPDATE", "DELETE", "WITH":
		return true
	}
	return false
}

// put keeps a statement that has ended. It closes one that failed, because
// errors are rare and the driver's state after them is not documented.
func (c *keepingConn) put(s *kept, err error) {
	if err != nil || c.byText[s.text] != nil {
		_ = s.Close() // has ended, so that nothing is left to fail
		return
	}
	c.byText[s.text] = c.recent.PushFront(s)
	if c.recent.Len() > keptStatements {
		c.evict()
	}
}

// evict closes the statement that has not run for the longest time.
func (c *keepingConn) evict() {
	s := c.recent.Remove(c.recent.Back()).(*kept)
	delete(c.byText, s.text)
	_ = s.Close() // has ended, so that nothing is left to fail
}

// keptRows gives the statement back when they are closed.
type keptRows struct {
	driver.Rows

	conn *keepingConn
	stmt *kept
}

// Close implements driver.Rows. It returns the error of a Next that failed too.
func (r *keptRows) Close() error {
	if r.stmt == nil {
		return nil
	}
	err := r.Rows.Close()
	r.conn.put(r.stmt, err)
	r.stmt = nil
	return err
}
