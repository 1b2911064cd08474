package sqldb_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// A new connection does not create the file again that was moved away. SQLite
// would take the -wal file for that of another database and remove it, with
// what the moved file needs.
func TestOpenFile_ReadersCreateNoFile(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not move open files")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	addThing(t, db, "first", nil)
	require.NoError(t, os.Rename(path, path+".gone"))
	var n int
	require.Error(t, db.Reader().QueryRow(t.Context(), "SELECT 1 FROM thing").Scan(&n), "the first connection that reads")
	require.NoFileExists(t, path)
	require.FileExists(t, path+"-wal")

	require.NoError(t, os.Rename(path+".gone", path))
	addThing(t, db, "second", nil)
	require.Equal(t, 2, count(t, db, "true"))
}
