package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"slices"
)

// fileReaders is the maximum number of connections that only read a file of
// [OpenFile].
const fileReaders = 4

// incremental is the value of PRAGMA auto_vacuum that [OpenFile] sets.
const incremental = 2

// file is a SQLite file of [OpenFile].
type file struct {
	path    string
	readers *sql.DB
	// scrubs reports that the file returns its free pages in steps, and that
	// the writer overwrites what it deletes.
	scrubs bool

	wal wal
}

// OpenFile opens the SQLite file at path as [OpenSQLite] does, for a store that
// is read while it is written. One connection writes, and statements and
// transactions of this process wait for it in order. [DB.Reader] has
// separate connections, so readers and the writer do not wait for each other.
//
// OpenFile prepares an empty or missing file for erasure:
//
//	auto_vacuum=INCREMENTAL   Shrink returns free pages to the file system
//	secure_delete=ON          deleted rows are overwritten with zeros
//
// The first is stored in the file, and later calls recognize the file by it. A
// file with auto_vacuum off or full keeps its pragmas. Its connections do not
// overwrite what they delete.
func OpenFile(ctx context.Context, path string) (*DB, error) {
	full, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	fresh, err := createPrivate(path, full)
	if err != nil {
		return nil, err
	}
	f := &file{path: full}
	db := &DB{dialect: SQLite, file: f}
	if db.sql, err = f.openWriter(ctx, fresh); err != nil {
		return nil, err
	}
	reading := url.Values{"_pragma": {busyPragma(BusyTimeout)}, "_query_only": {"1"}}
	if f.readers, err = openLite(sqliteDSN(full, reading), fileReaders); err != nil {
		return nil, errors.Join(err, db.sql.Close())
	}
	if db.identity, err = identify(full); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openWriter opens the connection that writes. secure_delete belongs to a
// connection, so the first connection to a file that is not fresh finds out
// whether to set it.
func (f *file) openWriter(ctx context.Context, fresh bool) (*sql.DB, error) {
	settings := writing(BusyTimeout)
	scrubbing := url.Values{
		"_pragma": append(slices.Clone(settings["_pragma"]), "secure_delete(ON)"),
		"_txlock": settings["_txlock"],
	}
	if fresh {
		settings["_auto_vacuum"] = []string{"INCREMENTAL"}
	}
	db, err := openWriters(ctx, sqliteDSN(f.path, settings), 1)
	if err != nil {
		return nil, err
	}
	var mode int
	err = WhileBusy(ctx, func() error { return db.QueryRowContext(ctx, "PRAGMA auto_vacuum").Scan(&mode) })
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the settings of the file: %w", err), db.Close())
	}
	if f.scrubs = mode == incremental; !f.scrubs {
		return db, nil
	}
	if err := db.Close(); err != nil {
		return nil, err
	}
	return openWriters(ctx, sqliteDSN(f.path, scrubbing), 1)
}

// Close closes a database of [OpenFile]. A *sql.DB or a pool that the caller
// owns stays open.
func (db *DB) Close() error {
	if db.file == nil {
		return nil
	}
	// The writer closes last, since the last connection empties the -wal file.
	return errors.Join(db.file.readers.Close(), db.sql.Close())
}

// Reader returns a Querier for queries outside of transactions that change
// nothing. It sees everything that was committed before its query began. For a
// file of [OpenFile] the queries do not wait for the writer, and the writer
// does not wait for them. For any other database it is the database itself.
func (db *DB) Reader() Querier {
	if db.file == nil {
		return db
	}
	return fileReader{sqlQuerier{db.file.readers, db}}
}

// fileReader repeats a query that meets a lock. SQLite locks readers out for a
// moment while another process opens, recovers or closes the file.
type fileReader struct{ sqlQuerier }

func (r fileReader) Query(ctx context.Context, statement string, args ...any) (rows Rows, err error) {
	err = patiently(ctx, func() error {
		rows, err = r.sqlQuerier.Query(ctx, statement, args...)
		return err
	})
	return rows, err
}

// QueryRow runs the query in Scan, which can repeat it.
func (r fileReader) QueryRow(ctx context.Context, statement string, args ...any) Row {
	return rowFunc(func(dest ...any) error {
		return patiently(ctx, func() error { return r.sqlQuerier.QueryRow(ctx, statement, args...).Scan(dest...) })
	})
}

// rowFunc is the Scan of a [Row].
type rowFunc func(dest ...any) error

// Scan implements [Row].
func (f rowFunc) Scan(dest ...any) error { return f(dest...) }

// patiently is [WhileBusy] for at most [BusyTimeout].
func patiently(ctx context.Context, f func() error) error {
	waiting, cancel := context.WithTimeout(ctx, BusyTimeout)
	defer cancel()
	return WhileBusy(waiting, f)
}
