package sqldb

import (
	"database/sql"
	"errors"
	"fmt"
)

var (
	// ErrConfig is wrapped by every error that a change of configuration fixes.
	// The texts of these errors have no prefix, because each store adds its own
	// with [WithSentinel].
	ErrConfig = errors.New("invalid configuration")
	// ErrNoRows is returned by Row.Scan if a query found no row. errors.Is(err,
	// sql.ErrNoRows) is also true for it.
	ErrNoRows = noRows{}
	// ErrTx is wrapped by errors about a transaction of the wrong kind.
	ErrTx = errors.New("the transaction does not fit this database")
)

type noRows struct{}

func (noRows) Error() string        { return "no rows" }
func (noRows) Is(target error) bool { return target == sql.ErrNoRows }

type config struct {
	text  string
	cause error
}

// ConfigErrorf returns an error that wraps [ErrConfig] and, with %w, a cause.
func ConfigErrorf(format string, args ...any) error {
	err := fmt.Errorf(format, args...)
	return &config{err.Error(), errors.Unwrap(err)}
}

func (e *config) Error() string        { return e.text }
func (e *config) Is(target error) bool { return target == ErrConfig }
func (e *config) Unwrap() error        { return e.cause }

// WithSentinel converts err to an error of a store's constructor. A
// configuration error wraps the store's sentinel, whose text begins with the
// store's name. Any other error gets the name as its prefix.
func WithSentinel(sentinel error, store string, err error) error {
	switch err = HideDSN(err); {
	case err == nil:
		return nil
	case errors.Is(err, ErrConfig):
		return fmt.Errorf("%w: %w", sentinel, err)
	}
	return fmt.Errorf("%s: %w", store, err)
}

// SQLSTATEs and the primary result codes of SQLite.
const (
	stateSerialization = "40001"
	stateDeadlock      = "40P01"
	stateLockNotFree   = "55P03"
	stateNoPermission  = "42501"
	stateNoSchema      = "3F000"
	stateDiskFull      = "53100"
	stateCanceled      = "57014"

	codeBusy       = 5
	codeLocked     = 6
	codeFull       = 13
	codeTooBig     = 18
	codeConstraint = 19
	codeMismatch   = 20
)

// SQLState returns the SQLSTATE of a PostgreSQL driver's error, or an empty
// string. It supports every driver whose errors have a method SQLState.
func SQLState(err error) string {
	if with, ok := errors.AsType[interface {
		error
		SQLState() string
	}](err); ok {
		return with.SQLState()
	}
	return ""
}

// sqliteCode returns the extended result code of SQLite, or zero.
func sqliteCode(err error) int {
	if with, ok := errors.AsType[interface {
		error
		Code() int
	}](err); ok {
		return with.Code()
	}
	return 0
}

// IsFull reports whether the disk is full, or the database has reached its
// maximum size.
func IsFull(err error) bool {
	return sqliteCode(err)&0xff == codeFull || SQLState(err) == stateDiskFull
}

// IsConflict reports whether PostgreSQL ended a transaction because of another
// one. The transaction had no effect and can be run again.
func IsConflict(err error) bool {
	state := SQLState(err)
	return state == stateSerialization || state == stateDeadlock
}

// IsBusy reports whether another process or transaction blocked the call, so
// that it may succeed a moment later.
func IsBusy(err error) bool {
	return isLocked(err) || IsConflict(err) || SQLState(err) == stateLockNotFree
}

// isLocked reports whether a SQLite file was locked.
func isLocked(err error) bool {
	code := sqliteCode(err) & 0xff
	return code == codeBusy || code == codeLocked
}

// IsRejected reports whether the database refused the values of the statement.
// Another statement may succeed.
func IsRejected(err error) bool {
	switch sqliteCode(err) & 0xff {
	case codeConstraint, codeTooBig, codeMismatch:
		return true
	}
	state := SQLState(err)
	return len(state) == 5 && (state[:2] == "22" || state[:2] == "23" || state[:2] == "54")
}
