//go:build !386 && !arm && !mips && !mipsle

package riverfloor

import (
	"database/sql"
	"testing"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

func requireSQLite(testing.TB) {}

func sqliteDriver(db *sql.DB) riverdriver.Driver[*sql.Tx] { return riversqlite.New(db) }
