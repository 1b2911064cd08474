package sqldb

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// shrinkStep is the number of pages that one transaction of Shrink frees.
	shrinkStep = 64
	// shrinkKeep is the part of a file that Shrink leaves free, as 1/shrinkKeep.
	// The next rows use it. Without it, a store that inserts as much as it
	// deletes would shrink and grow all the time.
	shrinkKeep = 8
	// scrubPatience is how long Scrub waits for readers.
	scrubPatience = 5 * time.Second
	scrubPause    = 50 * time.Millisecond
)

// ErrInUse is wrapped by the error of [DB.Scrub] if a reader kept the -wal file
// in use. Call Scrub again later.
var ErrInUse = errors.New("a reader still uses the -wal file")

// Shrink returns free pages of a file that [OpenFile] created to the file
// system, and keeps an eighth of the file for the next rows. It works in small
// transactions, between which others write. The file becomes smaller at the
// next checkpoint. Shrink does nothing for any other database.
func (db *DB) Shrink(ctx context.Context) error { return db.shrink(ctx, shrinkKeep) }

// Scrub removes what was deleted from a file that [OpenFile] created, and from
// its -wal file:
//
//   - It returns all free pages to the file system.
//   - It reads the whole file and clears copies of rows that SQLite has moved.
//   - It empties the -wal file.
//
// Others write between its small transactions. It waits up to five seconds for
// readers of earlier versions, which it does not disturb. If they are not done
// then, the error wraps [ErrInUse]. Scrub does nothing for any other database.
func (db *DB) Scrub(ctx context.Context) error {
	if db.file == nil || !db.file.scrubs {
		return nil
	}
	if err := db.shrink(ctx, 0); err != nil {
		return err
	}
	if err := db.clean(ctx); err != nil {
		return err
	}
	return db.awaitEmptyWAL(ctx)
}

// awaitEmptyWAL empties the -wal file as soon as no reader needs it.
func (db *DB) awaitEmptyWAL(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, scrubPatience)
	defer cancel()
	for {
		emptied, err := db.emptyWAL(ctx)
		if err != nil || emptied {
			return err
		}
		pause := time.NewTimer(scrubPause)
		select {
		case <-waiting.Done():
			pause.Stop()
			if err := ctx.Err(); err != nil {
				return err
			}
			return fmt.Errorf("emptying the -wal file: %w", ErrInUse)
		case <-pause.C:
		}
	}
}

// shrink frees pages until a 1/keep part of the file is free, or none if keep
// is 0.
func (db *DB) shrink(ctx context.Context, keep int64) error {
	if db.file == nil || !db.file.scrubs {
		return nil
	}
	// Others may delete meanwhile, so the number of steps is fixed before.
	var free, pages int64
	err := db.Reader().QueryRow(ctx, "SELECT f.freelist_count, p.page_count FROM pragma_freelist_count f, pragma_page_count p").Scan(&free, &pages)
	if err != nil {
		return fmt.Errorf("counting free pages: %w", err)
	}
	if keep > 0 {
		free -= pages / keep
	}
	for ; free > 0; free -= shrinkStep {
		if _, err := db.Exec(ctx, fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(free, shrinkStep))); err != nil {
			return fmt.Errorf("freeing pages: %w", err)
		}
	}
	return nil
}
