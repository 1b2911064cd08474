//go:build 386 || arm || mips || mipsle

package riverfloor

import (
	"database/sql"
	"testing"

	"github.com/riverqueue/river/riverdriver"
)

// requireSQLite skips tb, because River's SQLite driver does not compile if int
// has 32 bits.
func requireSQLite(tb testing.TB) {
	tb.Helper()
	tb.Skip("River has no SQLite driver for 32-bit systems")
}

func sqliteDriver(*sql.DB) riverdriver.Driver[*sql.Tx] {
	panic("no driver") // unreachable, since requireSQLite ends the test before
}
