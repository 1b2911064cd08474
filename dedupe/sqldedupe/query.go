package sqldedupe

import (
	"context"
	"database/sql"
)

// querier runs statements. It is a database, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// runner runs a statement that returns at most one row.
type runner interface {
	one(ctx context.Context, st *statement, args []any, into ...any) (found bool, err error)
}

// statement is the text of a statement, and its prepared form if the driver
// does not prepare statements itself.
type statement struct {
	text     string
	prepared *sql.Stmt
}

// direct runs statements on the store's database without a transaction.
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

// scanOne reads all rows, unlike sql.Row. SQLite commits a statement only at
// its end, and a failed commit must not be missed.
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
