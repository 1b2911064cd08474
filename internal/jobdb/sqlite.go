//go:build !386 && !arm && !mips && !mipsle

package jobdb

import (
	"database/sql"

	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riversqlite"
)

func sqliteDriver(db *sql.DB) (riverdriver.Driver[*sql.Tx], error) { return riversqlite.New(db), nil }
