// Package disk is a disk in memory for SQLite, on which simulated processes
// crash and operations fail or take time.
//
//	d, err := disk.New(t.TempDir())
//	if err != nil {
//		return err
//	}
//	defer d.Close()
//	p, err := d.NewProcess("outbox-1", func(op disk.Op) disk.Fault {
//		if op.Kind == disk.Sync && full() {
//			return disk.Fault{Err: disk.Full}
//		}
//		return disk.Fault{}
//	})
//	if err != nil {
//		return err
//	}
//	o, err := outbox.OpenSQLite(ctx, p.Path("outbox.db"), opts...)
//
// A disk replaces SQLite's layer for files (its VFS) for all paths below a
// folder. So it works with any code that opens a SQLite file by its path, and
// that code needs no option for it. Everything above is SQLite itself, with its
// write-ahead log, its locks and its recovery.
//
// SQLite then reads the clock of the bubble of testing/synctest, also outside
// of the folder, and no operation is a system call. A goroutine that waits for
// a lock or for a slow disk is durably blocked.
//
// # Crashes
//
// Each process has its own paths to the same files. [Process.Crash] lets all of
// its operations fail from one moment on, as if it had been killed between two
// system calls. A transaction that was being written stays half-written. When
// its goroutines have noticed, [Process.Bury] releases its locks. The last
// process takes the shared memory with it, so that the next one has to recover
// the database. What was written is not lost, because a disk outlives the
// processes. So it does not simulate a power failure.
//
// The disk exists on Linux with amd64 or arm64.
//
// # Waiting
//
// Only let Begin and Sync wait, and Sync not while rows are read. database/sql
// guards its other calls with mutexes, and a goroutine that waits for one when
// a context ends stops the clock of the bubble.
package disk
