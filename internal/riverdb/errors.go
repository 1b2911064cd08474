package riverdb

import (
	"database/sql"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrConfig is wrapped by errors of [OpenSQLite], [NewPostgres] and [DB.Migrate] that a change of configuration mends.
	ErrConfig = errors.New("riverdb: invalid configuration")
	// ErrNoRows is returned by Row.Scan where a query found nothing. errors.Is also holds for sql.ErrNoRows.
	ErrNoRows = noRows{}
	// ErrTx is wrapped by errors about a transaction of the wrong kind.
	ErrTx = errors.New("riverdb: the transaction does not fit this database")
)

type noRows struct{}

func (noRows) Error() string        { return "riverdb: no rows" }
func (noRows) Is(target error) bool { return target == sql.ErrNoRows }

// IsUniqueViolation says whether err comes from a primary key or a unique index.
func IsUniqueViolation(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE || lite.Code() == sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY
	}
	return postgresCode(err) == "23505"
}

// IsFull says whether err means that the database has no room left on its disk.
func IsFull(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		return lite.Code()&0xff == sqlite3.SQLITE_FULL
	}
	return postgresCode(err) == "53100"
}

// IsBusy says whether err means that another process or transaction was in the way, so that the same call may succeed a
// moment later.
func IsBusy(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		primary := lite.Code() & 0xff
		return primary == sqlite3.SQLITE_BUSY || primary == sqlite3.SQLITE_LOCKED
	}
	code := postgresCode(err)
	return code == "40001" || code == "40P01" || code == "55P03"
}

// IsRejected says whether err means that the statement's own values were refused: another statement may well succeed.
func IsRejected(err error) bool {
	if lite, ok := errors.AsType[*sqlite.Error](err); ok {
		switch lite.Code() & 0xff {
		case sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG, sqlite3.SQLITE_MISMATCH:
			return true
		}
		return false
	}
	code := postgresCode(err)
	return len(code) == 5 && (code[:2] == "22" || code[:2] == "23" || code[:2] == "54")
}

func postgresCode(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}
