package sqldedupe_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
)

// Every store has the same rule and the same text for paths.
func TestOpenSQLite_PathsThatAreNoFile(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing", "a.db")
	for path, want := range map[string]string{
		"file:a.db": "want the plain path of a file", ":memory:x": "want the plain path of a file", "": "want the plain path of a file",
		missing: "the directory can't be used",
	} {
		_, err := sqldedupe.OpenSQLite(t.Context(), path)
		require.ErrorIs(t, err, sqldedupe.ErrConfig, path)
		require.ErrorContains(t, err, "sqldedupe: invalid configuration: OpenSQLite: path \""+path+"\": "+want)
	}
}
