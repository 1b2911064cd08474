package sqldedupe_test

import (
	"testing"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestOpenSQLite_RefusesOtherPaths(t *testing.T) {
	t.Parallel()
	sqldbtest.RefusesPaths(t, sqldedupe.ErrConfig, "sqldedupe: invalid configuration: OpenSQLite: ", func(path string) error {
		_, err := sqldedupe.OpenSQLite(t.Context(), path)
		return err
	})
}
