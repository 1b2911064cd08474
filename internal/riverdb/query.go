package riverdb

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Querier runs statements: a [DB] outside any transaction, or a [Tx]. See the package's text for how they are written.
type Querier interface {
	// Exec runs a statement and returns how many rows it affected.
	Exec(ctx context.Context, statement string, args ...any) (affected int64, err error)
	// Query runs a query. Its rows must be closed before the next statement.
	Query(ctx context.Context, statement string, args ...any) (Rows, error)
	// QueryRow runs a query of which the first row matters. Scan returns ErrNoRows where there is none.
	QueryRow(ctx context.Context, statement string, args ...any) Row
}

// Row is one row of a result. Scan it into int64, string, []byte, and pointers to them for what may be NULL.
type Row interface {
	Scan(dest ...any) error
}

// Rows is a result, to be read as that of database/sql.
type Rows interface {
	Row
	Next() bool
	Err() error
	Close() error
}

// querier is Querier under a name that keeps it unexported where it is embedded.
type querier = Querier

var (
	_ Querier = (*DB)(nil)
	_ Querier = (*Tx)(nil)
)

// Collect runs a query and returns what scan makes of each row.
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

// IsAnyOf is the condition that a column of integers is one of ids, and its one argument: the statement stays the same however
// many there are, so that it is prepared once.
func (db *DB) IsAnyOf(column string, ids []int64) (condition string, arg any) {
	if db.dialect == Postgres {
		return column + " = ANY(?)", ids
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

// Exec implements [Querier] outside any transaction.
func (db *DB) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	return db.querier().Exec(ctx, statement, args...)
}

// Query implements [Querier] outside any transaction. On SQLite the rows hold the one connection until they are closed.
func (db *DB) Query(ctx context.Context, statement string, args ...any) (Rows, error) {
	return db.querier().Query(ctx, statement, args...)
}

// QueryRow implements [Querier] outside any transaction.
func (db *DB) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return db.querier().QueryRow(ctx, statement, args...)
}

func (db *DB) querier() Querier {
	if db.dialect == SQLite {
		return liteQuerier{db.lite, db}
	}
	return pgxQuerier{db.pool, db}
}

// liteQuerier is database/sql's *sql.DB or *sql.Tx.
type liteQuerier struct {
	conn interface {
		ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, statement string, args ...any) (*sql.Rows, error)
		QueryRowContext(ctx context.Context, statement string, args ...any) *sql.Row
	}
	db *DB
}

func (q liteQuerier) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	result, err := q.conn.ExecContext(ctx, q.db.rewrite(statement), args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func (q liteQuerier) Query(ctx context.Context, statement string, args ...any) (Rows, error) {
	rows, err := q.conn.QueryContext(ctx, q.db.rewrite(statement), args...)
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func (q liteQuerier) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return firstRow{q.conn.QueryRowContext(ctx, q.db.rewrite(statement), args...)}
}

// pgxQuerier is pgx's *pgxpool.Pool or pgx.Tx.
type pgxQuerier struct {
	conn interface {
		Exec(ctx context.Context, statement string, args ...any) (pgconn.CommandTag, error)
		Query(ctx context.Context, statement string, args ...any) (pgx.Rows, error)
		QueryRow(ctx context.Context, statement string, args ...any) pgx.Row
	}
	db *DB
}

func (q pgxQuerier) Exec(ctx context.Context, statement string, args ...any) (int64, error) {
	tag, err := q.conn.Exec(ctx, q.db.rewrite(statement), args...)
	return tag.RowsAffected(), err
}

func (q pgxQuerier) Query(ctx context.Context, statement string, args ...any) (Rows, error) {
	rows, err := q.conn.Query(ctx, q.db.rewrite(statement), args...)
	if err != nil {
		return nil, err
	}
	return pgxRows{rows}, nil
}

func (q pgxQuerier) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return firstRow{q.conn.QueryRow(ctx, q.db.rewrite(statement), args...)}
}

type pgxRows struct{ pgx.Rows }

func (r pgxRows) Close() error {
	r.Rows.Close()
	return r.Err()
}

// firstRow gives both libraries' missing row one error.
type firstRow struct{ row Row }

func (r firstRow) Scan(dest ...any) error {
	err := r.row.Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) || errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRows
	}
	return err
}

const (
	schemaMark = "{schema}"
	nowMark    = "{now}"
)

// rewrite turns a statement into the dialect's own. What stands in quotes is left alone.
func (db *DB) rewrite(statement string) string {
	var b strings.Builder
	b.Grow(len(statement) + 64)
	var quote byte
	parameters := 0
	for i := 0; i < len(statement); i++ {
		c := statement[i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote = c
			b.WriteByte(c)
		case c == '?' && db.dialect == Postgres:
			parameters++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(parameters))
		case strings.HasPrefix(statement[i:], schemaMark):
			b.WriteString(db.schema)
			i += len(schemaMark) - 1
		case strings.HasPrefix(statement[i:], nowMark):
			b.WriteString(db.nowExpression())
			i += len(nowMark) - 1
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// nowExpression is the time at which the statement runs, not that at which its transaction began.
func (db *DB) nowExpression() string {
	if db.dialect == SQLite {
		return "CAST(unixepoch('subsec') * 1000000 AS integer)"
	}
	return "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
}

// types fills in the names of the column types that the dialects spell differently.
func (db *DB) types(statement string) string {
	blob, id := "blob", "integer PRIMARY KEY AUTOINCREMENT"
	if db.dialect == Postgres {
		blob, id = "bytea", "bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY"
	}
	return strings.NewReplacer("{blob}", blob, "{id}", id).Replace(statement)
}
