//go:build linux || darwin

package sqldb_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// otherPath tells the test binary to be the other process of
// TestOpen_KeepsTheLocksOfItsProcess.
const otherPath = "SQLDB_TEST_OTHER_PROCESS"

// TestOtherProcess looks for the lock that SQLite holds on a file as long as a
// connection uses write-ahead logging.
func TestOtherProcess(t *testing.T) {
	path := os.Getenv(otherPath)
	if path == "" {
		t.Skip("it is the other process of another test")
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	defer file.Close()
	const first, size = 1<<30 + 2, 510 // SHARED_FIRST and SHARED_SIZE of SQLite
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: first, Len: size}
	require.NoError(t, syscall.FcntlFlock(file.Fd(), syscall.F_GETLK, &lock))
	fmt.Printf("\nlocked: %t\n", lock.Type != syscall.F_UNLCK)
}

// TestOpen_KeepsTheLocksOfItsProcess opens the same file several times. On Unix
// a process loses all its locks on a file when it closes any descriptor of the
// file. Another process with an older SQLite then takes itself for the only
// one. It removes the -wal file, and with it what is committed later.
func TestOpen_KeepsTheLocksOfItsProcess(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	addThing(t, db, "first", nil)
	second := openFile(t, path)
	third, err := sqldb.OpenSQLite(t.Context(), path, 1, sqldb.BusyTimeout)
	require.NoError(t, err)
	defer third.Close()

	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestOtherProcess$")
	command.Env = append(os.Environ(), otherPath+"="+path)
	out, err := command.CombinedOutput()
	require.NoError(t, err, string(out))
	require.Contains(t, string(out), "locked: true")
	assert.Equal(t, 1, count(t, second, "true"))
}
