package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier runs statements. It is a [DB] outside of transactions, or a [Tx]. The
// package documentation describes how to write statements.
type Querier interface {
	// Exec runs a statement and returns the number of affected rows.
	Exec(ctx context.Context, statement string, args ...any) (affected int64, err error)
	// Query runs a query. Close its rows before the next statement.
	Query(ctx context.Context, statement string, args ...any) (Rows, error)
	// QueryRow runs a query and uses only the first row. Scan returns ErrNoRows
	// if there is no row.
	QueryRow(ctx context.Context, statement string, args ...any) Row
}

// Row is one row of a result. Scan it into bool, int64, string, []byte, or
// pointers to them for values that may be NULL.
type Row interface {
	Scan(dest ...any) error
}

// Rows is a result. Read it like sql.Rows.
type Rows interface {
	Row
	Next() bool
	Err() error
	Close() error
}

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// Collect runs a query and returns the result of scan for each row.
func Collect[T any](ctx context.Context, q Querier, scan func(Row) (T, error), statement string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, statement, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	return all, rows.Close()
}

// AnyInArray is the condition on PostgreSQL that the value before it is in an
// array, which is the argument. It hides the array's length from the planner.
// With a long array and a table that is small, or has no statistics yet, the
// planner would read the whole table, and those that are joined with it. It
// looks up each value by an index instead.
func AnyInArray(typ string) string { return " = ANY(ARRAY(SELECT unnest(?::" + typ + "[])))" }

// IsAnyOf returns the condition that an integer column is one of ids, and its
// only argument. The statement does not depend on the number of ids, so that it
// is prepared once.
//
// PostgreSQL does not see the number of ids either, see [AnyInArray].
func (db *DB) IsAnyOf(column string, ids []int64) (condition string, arg any) {
	if db.dialect == Postgres {
		return column + AnyInArray("bigint"), ids
	}
	list := []byte{'['}
	for i, id := range ids {
		if i > 0 {
			list = append(list, ',')
		}
		list = strconv.AppendInt(list, id, 10)
	}
	return column + " IN (SELECT value FROM json_each(?))", string(append(list, ']'))
}

// Exec implements [Querier] outside of transactions.
func (db *DB) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	return db.querier().Exec(ctx, statement, args...)
}

// Query implements [Querier] outside of transactions. On a database with one
// connection, the rows block it until they are closed.
func (db *DB) Query(ctx context.Context, statement string, args ...any) (Rows, error) {
	return db.querier().Query(ctx, statement, args...)
}

// QueryRow implements [Querier] outside of transactions.
func (db *DB) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return db.querier().QueryRow(ctx, statement, args...)
}

func (db *DB) querier() Querier {
	if db.pool != nil {
		return pgxQuerier{db.pool, db}
	}
	return sqlQuerier{db.sql, db}
}

// sqlQuerier runs statements on a *sql.DB, *sql.Conn or *sql.Tx.
type sqlQuerier struct {
	conn interface {
		ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, statement string, args ...any) *sql.Row
	}
	db *DB
}

func (q sqlQuerier) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := q.conn.ExecContext(ctx, q.db.Text(statement), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q sqlQuerier) Query(ctx context.Context, statement string, args ...any) (Rows, error) {
	rows, err := q.conn.QueryContext(ctx, q.db.Text(statement), args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (q sqlQuerier) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return firstRow{q.conn.QueryRowContext(ctx, q.db.Text(statement), args...)}
}

func (q sqlQuerier) script(ctx context.Context, text string) error {
	_, err := q.conn.ExecContext(ctx, text)
	return err
}

// pgxQuerier runs statements on pgx's *pgxpool.Pool or pgx.Tx.
type pgxQuerier struct {
	conn interface {
		Exec(ctx context.Context, statement string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, statement string, args ...any) pgx.Row
	}
	db *DB
}

func (q pgxQuerier) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := q.conn.Exec(ctx, q.db.Text(statement), args...)
	return tag.RowsAffected(), err
}

func (q pgxQuerier) Query(ctx context.Context, statement string, args ...any) (Rows, error) {
	rows, err := q.conn.Query(ctx, q.db.Text(statement), args...)
	if err != nil {
		return nil, err
	}
	return pgxRows{rows}, nil
}

func (q pgxQuerier) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return firstRow{q.conn.QueryRow(ctx, q.db.Text(statement), args...)}
}

func (q pgxQuerier) script(ctx context.Context, text string) error {
	_, err := q.conn.Exec(ctx, text)
	return err
}

type pgxRows struct{ pgx.Rows }

func (r pgxRows) Close() error {
	r.Rows.Close()
	return r.Err()
}

// firstRow returns the same error for a missing row with both libraries.
type firstRow struct{ row Row }

func (r firstRow) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRows
	}
	return err
}
