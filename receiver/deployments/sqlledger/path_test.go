package sqlledger_test

import (
	"testing"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

func TestOpenSQLite_RefusesOtherPaths(t *testing.T) {
	t.Parallel()
	sqldbtest.RefusesPaths(t, sqlledger.ErrConfig, "sqlledger: invalid configuration: ", func(path string) error {
		_, err := sqlledger.OpenSQLite(t.Context(), path)
		return err
	})
}
