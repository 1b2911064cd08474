package inbox_test

import (
	"testing"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/receiver/inbox"
)

func TestOpenSQLite_RefusesOtherPaths(t *testing.T) {
	t.Parallel()
	sqldbtest.RefusesPaths(t, inbox.ErrConfig, "inbox: invalid configuration: ", func(path string) error {
		_, err := inbox.OpenSQLite(t.Context(), path, (&calls{}).handle)
		return err
	})
}
