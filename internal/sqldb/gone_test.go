package sqldb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
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

// A caller's database creates a file in the place of one that was moved away.
// When the first one is back, nothing is written to either. A write could be
// lost, since connections and the -wal file may belong to the other one.
func TestIdentify_ReplacedFileStaysGone(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows does not move open files")
	}
	path := filepath.Join(t.TempDir(), "test.db")
	lite, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_txlock=immediate")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lite.Close()) })
	lite.SetMaxOpenConns(1)
	db := sqldb.New(lite, sqldb.SQLite, "")
	require.NoError(t, db.Migrate(t.Context(), planOf("test", steps)))
	require.NoError(t, db.Identify(t.Context()))
	nothing := func(context.Context, *sqldb.Tx) error { return nil }

	require.NoError(t, os.Rename(path, path+".gone"))
	require.ErrorIs(t, db.InTx(t.Context(), nothing), sqldb.ErrFileGone)
	require.NoError(t, os.Rename(path+".gone", path))
	require.NoError(t, db.InTx(t.Context(), nothing), "it was only missing")

	require.NoError(t, os.Rename(path, path+".gone"))
	conn, err := lite.Conn(t.Context())
	require.NoError(t, err)
	require.ErrorIs(t, conn.Raw(func(any) error { return driver.ErrBadConn }), driver.ErrBadConn) // as after some errors
	require.NoError(t, lite.PingContext(t.Context()))
	require.FileExists(t, path, "the new connection has created it")
	require.ErrorIs(t, db.InTx(t.Context(), nothing), sqldb.ErrFileGone)
	require.NoError(t, os.Rename(path+".gone", path))
	err = db.InTx(t.Context(), nothing)
	require.ErrorIs(t, err, sqldb.ErrFileGone)
	require.ErrorContains(t, err, "start the process again")
}
