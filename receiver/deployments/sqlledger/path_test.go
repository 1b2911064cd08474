package sqlledger_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// All stores have the same rule and error text for paths.
func TestOpenSQLite_RefusesOtherPaths(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing", "a.db")
	for path, want := range map[string]string{
		"file:a.db": "want the plain path of a file", ":memory:x": "want the plain path of a file", "": "want the plain path of a file",
		missing: "the directory can't be used",
	} {
		_, err := sqlledger.OpenSQLite(t.Context(), path)
		require.ErrorIs(t, err, sqlledger.ErrConfig, path)
		require.ErrorContains(t, err, "sqlledger: invalid configuration: path \""+path+"\": "+want)
	}
}
