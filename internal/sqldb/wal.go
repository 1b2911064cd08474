package sqldb

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// walLimit is the size of the -wal file in bytes above which a commit
	// empties it.
	walLimit = 32 << 20
	// walCheckEvery is the number of commits between two looks at the size.
	walCheckEvery = 64
	// walWait is how long the writer waits for readers that still need the -wal
	// file. Commits wait meanwhile.
	walWait = 200 * time.Millisecond
)

// wal bounds the size of a -wal file. SQLite begins to write it anew only at a
// moment at which no reader uses it. With several readers in a loop there is no
// such moment, and the file would grow without limit.
type wal struct {
	commits atomic.Int64

	mu sync.Mutex // held while one goroutine empties the file
	// limit replaces walLimit after an attempt that failed because of a reader.
	limit int64
}

// boundWAL empties a -wal file that has become long. A failure is not reported,
// since the transaction of the caller was committed. A later commit tries
// again.
func (db *DB) boundWAL(ctx context.Context) {
	if db.file == nil || db.file.wal.commits.Add(1)%walCheckEvery != 0 {
		return
	}
	w := &db.file.wal
	if !w.mu.TryLock() {
		return
	}
	defer w.mu.Unlock()
	size := db.file.walSize()
	if size < max(w.limit, walLimit) {
		return
	}
	w.limit = 0
	if emptied, err := db.emptyWAL(ctx); err == nil && !emptied {
		w.limit = 2 * size
	}
}

func (f *file) walSize() int64 {
	info, err := os.Stat(f.path + "-wal")
	if err != nil {
		return 0
	}
	return info.Size()
}

// emptyWAL copies the -wal file to the database and truncates it. It reports
// false if a reader still needed it after walWait.
func (db *DB) emptyWAL(ctx context.Context) (emptied bool, err error) {
	// The first checkpoint copies almost everything while others write. It may
	// leave the rest, so its result does not matter.
	if _, err := db.file.readers.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil && !isLocked(err) {
		return false, fmt.Errorf("copying the -wal file: %w", err)
	}
	conn, err := db.sql.Conn(ctx)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer restoreBusyTimeout(ctx, conn)
	if _, err := conn.ExecContext(ctx, "PRAGMA "+busyPragma(walWait)); err != nil {
		return false, err
	}
	var busy, frames, copied int64
	err = conn.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &frames, &copied)
	switch {
	case isLocked(err):
		return false, nil
	case err != nil:
		return false, fmt.Errorf("emptying the -wal file: %w", err)
	}
	return busy == 0, nil
}

// restoreBusyTimeout undoes the change of emptyWAL. If that fails, it closes
// the connection, and the next one has the usual settings.
func restoreBusyTimeout(ctx context.Context, conn *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), rollbackTimeout)
	defer cancel()
	if _, err := conn.ExecContext(ctx, "PRAGMA "+busyPragma(BusyTimeout)); err != nil {
		_ = conn.Raw(func(any) error { return driver.ErrBadConn }) // returns this error and closes
	}
}
