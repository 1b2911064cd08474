//go:build linux && (amd64 || arm64)

package disk_test

import (
	"database/sql"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/simulation/disk"
	"github.com/deployhook/deployhook/internal/sqldb"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// world runs a test with a disk in a bubble.
func world(t *testing.T, test func(t *testing.T, d *disk.Disk)) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		d, err := disk.New(dir)
		require.NoError(t, err)
		t.Cleanup(d.Close)
		test(t, d)
	})
}

// open opens the database of a disk in a process of its own.
func open(t *testing.T, d *disk.Disk, name string, hook func(disk.Op) disk.Fault) (*disk.Process, *sql.DB) {
	p, err := d.NewProcess(name, hook)
	require.NoError(t, err)
	db, err := sqldb.OpenSQLite(t.Context(), p.Path("test.db"), 1, sqldb.BusyTimeout)
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() }) // closed already, or can't reach its file
	return p, db
}

func exec(t *testing.T, db *sql.DB, statement string) {
	_, err := db.Exec(statement)
	require.NoError(t, err)
}

func count(t *testing.T, db *sql.DB) (n int) {
	require.NoError(t, db.QueryRow("SELECT count(*) FROM thing").Scan(&n))
	return n
}

func TestDisk_HasSQLiteUseTheBubblesClock(t *testing.T) {
	t.Parallel()
	world(t, func(t *testing.T, d *disk.Disk) {
		_, db := open(t, d, "a", nil)
		time.Sleep(time.Hour) // of the bubble
		var now string
		require.NoError(t, db.QueryRow("SELECT datetime('now')").Scan(&now))
		assert.Equal(t, "2000-01-01 01:00:00", now)
	})
}

// Every crash between two operations must leave all that was committed, and
// nothing of the transaction that was not.
func TestProcess_CrashesAnywhere(t *testing.T) {
	t.Parallel()
	for _, kind := range []disk.Kind{disk.Read, disk.Write, disk.Sync, disk.Begin, disk.End} {
		for at := range int64(12) {
			world(t, func(t *testing.T, d *disk.Disk) {
				var left atomic.Int64
				p, db := open(t, d, "first", func(op disk.Op) disk.Fault {
					return disk.Fault{Crash: op.Kind == kind && left.Add(-1) == 0}
				})
				exec(t, db, "CREATE TABLE thing (body blob)")
				left.Store(at + 1)
				committed := 0
				for range 20 {
					if _, err := db.Exec("INSERT INTO thing VALUES (randomblob(9000))"); err != nil {
						break
					}
					if p.Crashed() {
						break // at the end of a commit, whose answer nobody got
					}
					committed++
				}
				p.Crash()
				synctest.Wait()
				p.Bury()
				_, db = open(t, d, "second", nil)
				n := count(t, db)
				assert.GreaterOrEqual(t, n, committed)
				assert.LessOrEqual(t, n, committed+1)
				var verdict string
				require.NoError(t, db.QueryRow("PRAGMA integrity_check").Scan(&verdict))
				assert.Equal(t, "ok", verdict)
				exec(t, db, "INSERT INTO thing VALUES (1)")
			})
		}
	}
}

func TestProcess_HoldsItsLocksUntilItIsBuried(t *testing.T) {
	t.Parallel()
	world(t, func(t *testing.T, d *disk.Disk) {
		p, first := open(t, d, "first", nil)
		_, second := open(t, d, "second", nil)
		exec(t, first, "CREATE TABLE thing (body blob)")
		tx, err := first.Begin()
		require.NoError(t, err)
		_, err = tx.Exec("INSERT INTO thing VALUES (1)")
		require.NoError(t, err)
		begun := time.Now()
		_, err = second.Exec("INSERT INTO thing VALUES (2)")
		require.ErrorContains(t, err, "SQLITE_BUSY")
		assert.Equal(t, sqldb.BusyTimeout, time.Since(begun), "it waits on the bubble's clock")
		p.Crash()
		p.Bury()
		exec(t, second, "INSERT INTO thing VALUES (2)")
		assert.Equal(t, 1, count(t, second))
		require.Error(t, tx.Commit())
	})
}

func TestFault(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		kind disk.Kind
		err  disk.Error
		want string
	}{
		"full":     {disk.Write, disk.Full, "database or disk is full"},
		"no sync":  {disk.Sync, disk.IO, "disk I/O error"},
		"no read":  {disk.Read, disk.IO, "disk I/O error"},
		"busy":     {disk.Begin, disk.Busy, "SQLITE_BUSY"},
		"no begin": {disk.Begin, disk.IO, "disk I/O error"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			world(t, func(t *testing.T, d *disk.Disk) {
				var fails atomic.Bool
				_, db := open(t, d, "first", func(op disk.Op) disk.Fault {
					if !fails.Load() || op.Kind != c.kind {
						return disk.Fault{}
					}
					return disk.Fault{Err: c.err}
				})
				_, other := open(t, d, "second", nil)
				exec(t, db, "CREATE TABLE thing (body blob)")
				exec(t, other, "INSERT INTO thing VALUES (1)") // or nothing has to be read
				fails.Store(true)
				_, err := db.Exec("INSERT INTO thing SELECT randomblob(9000) FROM thing")
				require.ErrorContains(t, err, c.want)
				fails.Store(false)
				exec(t, db, "INSERT INTO thing VALUES (2)")
				assert.Equal(t, 2, count(t, other))
			})
		})
	}
}

func TestFault_Wait(t *testing.T) {
	t.Parallel()
	world(t, func(t *testing.T, d *disk.Disk) {
		_, db := open(t, d, "first", func(op disk.Op) disk.Fault {
			if op.Kind == disk.Begin {
				return disk.Fault{Wait: time.Second}
			}
			return disk.Fault{}
		})
		exec(t, db, "CREATE TABLE thing (body blob)")
		begun := time.Now()
		exec(t, db, "INSERT INTO thing VALUES (1)")
		assert.Equal(t, time.Second, time.Since(begun))
	})
}
