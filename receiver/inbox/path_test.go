package inbox_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/inbox"
)

// All stores have the same rule and error text for paths.
func TestOpenSQLite_RefusesOtherPaths(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "missing", "a.db")
	for path, want := range map[string]string{
		"file:a.db": "want the plain path of a file", ":memory:x": "want the plain path of a file", "": "want the plain path of a file",
		missing: "the directory can't be used",
	} {
		_, err := inbox.OpenSQLite(t.Context(), path, (&calls{}).handle)
		require.ErrorIs(t, err, inbox.ErrConfig, path)
		require.ErrorContains(t, err, "inbox: invalid configuration: path \""+path+"\": "+want)
	}
}
