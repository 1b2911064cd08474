package sqldb

import (
	"context"
	"errors"
	"io"
	"net"
)

// explained is an error with what an operator can do about it.
type explained struct {
	cause  error
	remedy string
}

func (e *explained) Error() string { return e.cause.Error() + "; " + e.remedy }

func (e *explained) Unwrap() error { return e.cause }

// Explain adds what an operator can do about a failure of the database. Other
// errors, and errors that were explained before, are returned unchanged.
func Explain(err error) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*explained](err); done {
		return err
	}
	if remedy := remedyFor(err); remedy != "" {
		return &explained{err, remedy}
	}
	return err
}

// waited explains that a transaction could not begin in time. On SQLite it then
// waited for the lock on the file. The driver returns only the error of the
// context.
func (db *DB) waited(err error) error {
	if db.dialect == SQLite && errors.Is(err, context.DeadlineExceeded) && sqliteCode(err) == 0 {
		return &explained{err, "the file stayed locked; another process holds the lock on the file, such as a backup or a shell, or the disk is slow"}
	}
	return err
}

func remedyFor(err error) string {
	if errors.Is(err, ErrFileGone) {
		return "stop the process, put the file back or restore a backup, and start the process again"
	}
	if code := sqliteCode(err); code != 0 {
		return liteRemedies[code&0xff]
	}
	if state := SQLState(err); state != "" {
		return pgRemedies[state]
	}
	var connection *net.OpError
	if errors.As(err, &connection) || errors.Is(err, io.ErrUnexpectedEOF) {
		return "check that the database server runs and that this host can reach it"
	}
	return ""
}

// liteRemedies is for SQLite's primary result codes.
var liteRemedies = map[int]string{
	codeBusy: "another process holds the lock on the file; look for a backup, a shell or a hanging process that has it open",
	codeFull: "free space on the file's disk, or raise its quota or maximum size",
	8:        "the file can't be written; check its permissions, its directory's, and whether the disk is mounted read-only",
	10:       "check the disk and the system's log; SQLite could not read or write the file",
	11:       "the file is damaged; stop the process and restore a backup",
	14:       "the file can't be opened; check that its directory exists and its permissions",
	26:       "the file is not a SQLite database; restore a backup",
}

// pgRemedies is for SQLSTATEs.
var pgRemedies = map[string]string{
	"25006":       "the database is read-only; connect to the primary, and check default_transaction_read_only",
	stateDiskFull: "free space on the database server's disk",
	"53200":       "the database server is out of memory",
	"53300":       "the database server has no free connection; raise max_connections, or lower the limits of the pools",
	"57P01":       "the database server is stopping; start it again",
	"57P02":       "the database server has crashed; look at its log",
	"57P03":       "the database server is starting or stopping; it takes connections again when it is done",
	"28P01":       "the database server refused the password",
	"28000":       "the database server refused the role; check pg_hba.conf",
	"3D000":       "the database does not exist",
	"58030":       "the database server could not read or write its disk; look at its log",
	// The documentation of each store lists the grants.
	stateNoPermission: "grant the role what the store's documentation lists",
}
