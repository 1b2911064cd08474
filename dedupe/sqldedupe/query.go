package sqldedupe

import (
	"context"
	"database/sql"
)

// querier is what statements run on: a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// runner runs a statement that gives one row or none.
type runner interface {
	one(ctx context.Context, st *statement, args []any, into ...any) (found bool, err error)
}

// statement is the text of one and, where the driver does not keep prepared statements by itself, the prepared one.
type statement struct {
	text     string
	prepared *sql.Stmt
}

// direct runs statements on the store's own database, each in a transaction of its own.
type direct struct{ db *sql.DB }

func (d direct) one(ctx context.Context, st *statement, args []any, into ...any) (bool, error) {
	if st.prepared == nil {
		return within{d.db}.one(ctx, st, args, into...)
	}
	rows, err := st.prepared.QueryContext(ctx, args...)
	return scanOne(rows, err, into)
}

// within runs statements in a transaction.
type within struct{ q querier }

func (w within) one(ctx context.Context, st *statement, args []any, into ...any) (bool, error) {
	rows, err := w.q.QueryContext(ctx, st.text, args...)
	return scanOne(rows, err, into)
}

// scanOne reads to the end of the rows, which sql.Row does not: SQLite commits a statement only when it has run to its end,
// and a commit that fails must not go unnoticed.
func scanOne(rows *sql.Rows, err error, into []any) (found bool, e error) {
	if err != nil {
		return false, err
	}
	defer func() {
		if err := rows.Close(); err != nil && e == nil {
			e = err
		}
	}()
	for rows.Next() {
		found = true
		if err := rows.Scan(into...); err != nil {
			return false, err
		}
	}
	return found, rows.Err()
}
