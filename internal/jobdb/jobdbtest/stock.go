// Package jobdbtest helps benchmarks that compare this repository with River
// as others use it.
package jobdbtest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// StockIndexes gives River's table of jobs the indexes that jobdb leaves out,
// and that River's own migrations make.
func StockIndexes(tb testing.TB, db *jobdb.DB) {
	tb.Helper()
	indexes := []string{`CREATE INDEX IF NOT EXISTS river_job_kind ON {schema}river_job (kind)`}
	if db.Dialect() == jobdb.Postgres {
		indexes = append(indexes, `CREATE INDEX IF NOT EXISTS river_job_args_index ON {schema}river_job USING GIN (args)`,
			`CREATE INDEX IF NOT EXISTS river_job_metadata_index ON {schema}river_job USING GIN (metadata)`)
	}
	for _, index := range indexes {
		_, err := db.Exec(tb.Context(), index)
		require.NoError(tb, err)
	}
}
