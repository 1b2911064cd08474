//go:build 386 || arm || mips || mipsle

package jobdb

import (
	"database/sql"

	"github.com/riverqueue/river/riverdriver"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// sqliteDriver fails, because River's SQLite driver does not compile if int has
// 32 bits.
func sqliteDriver(*sql.DB) (riverdriver.Driver[*sql.Tx], error) {
	return nil, sqldb.ConfigErrorf("River has no SQLite driver for 32-bit systems; use PostgreSQL")
}
