package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
)

// ErrFileGone is wrapped by the error for a SQLite file that was deleted or
// replaced while it was open. Writes to such a file succeed and are lost when
// the process ends.
var ErrFileGone = errors.New("the SQLite file was deleted or replaced while it is open")

// Identity is the file that a SQLite database has open. A nil Identity is that
// of a database without a file.
type Identity struct {
	path     string
	info     os.FileInfo
	replaced atomic.Bool
}

// Identify returns the file of a SQLite database. Call it soon after opening.
func Identify(ctx context.Context, db *sql.DB) (*Identity, error) {
	var path string
	err := WhileBusy(ctx, func() error {
		return db.QueryRowContext(ctx, "SELECT file FROM pragma_database_list WHERE name = 'main'").Scan(&path)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the file's name: %w", err)
	}
	if path == "" { // in memory
		return nil, nil //nolint:nilnil // documented
	}
	return identify(path)
}

func identify(path string) (*Identity, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("looking at the file: %w", err)
	}
	return &Identity{path: path, info: info}, nil
}

// Check returns an error if the path does not name the open file any more. It
// costs one system call.
//
// A file that was missing for some time can come back. A file that was replaced
// counts as gone until the process ends. A connection may be on the other file,
// and SQLite may take that one's -wal file for this one's.
func (i *Identity) Check() error {
	if i == nil {
		return nil
	}
	info, err := os.Stat(i.path)
	if err != nil {
		return Explain(fmt.Errorf("%w: %w", ErrFileGone, err))
	}
	if !os.SameFile(info, i.info) {
		i.replaced.Store(true)
	}
	if i.replaced.Load() {
		return Explain(fmt.Errorf("%w: %s", ErrFileGone, i.path))
	}
	return nil
}
