package sqldb

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// BusyTimeout is how long a connection of [OpenSQLite] waits for another
// process that writes to the file.
const BusyTimeout = 10 * time.Second

// OpenSQLite opens the SQLite file at path through database/sql. It creates a
// missing file, readable only by its owner. The directory must exist. Several
// processes of one machine may open the same file. A network file system does
// not lock files reliably.
//
// Every commit is on disk before it returns (WAL, synchronous=FULL).
// Transactions begin with the lock on the file, and each connection waits up to
// busy for other processes. conns is the maximum number of connections. With
// more than one, readers do not wait for the writer, and calls should be
// wrapped in [WhileBusy].
//
// In-memory names, URIs and other mistakes in path give an error that wraps
// [ErrConfig].
func OpenSQLite(ctx context.Context, path string, conns int, busy time.Duration) (*sql.DB, error) {
	full, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	if _, err := createPrivate(path, full); err != nil {
		return nil, err
	}
	return openWriters(ctx, sqliteDSN(full, writing(busy)), conns)
}

// openWriters opens a pool and makes its first connection.
func openWriters(ctx context.Context, dsn string, conns int) (*sql.DB, error) {
	db, err := openLite(dsn, conns)
	if err != nil {
		return nil, err
	}
	if err := FirstConnection(ctx, db); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

// openLite returns a pool that keeps its connections and their prepared
// statements. It does not connect.
func openLite(dsn string, conns int) (*sql.DB, error) {
	connector, err := sqlite.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(keeper{connector})
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	db.SetConnMaxLifetime(0)
	return db, nil
}

// FirstConnection makes the first connection to a SQLite file. The switch to
// write-ahead logging needs exclusive access to the file, and SQLite does not
// wait if several processes switch at once. FirstConnection therefore repeats
// the attempt for up to [BusyTimeout].
func FirstConnection(ctx context.Context, db *sql.DB) error {
	waiting, cancel := context.WithTimeout(ctx, BusyTimeout)
	defer cancel()
	return WhileBusy(waiting, func() error { return db.PingContext(ctx) })
}

func checkPath(path string) (full string, err error) {
	lower := strings.ToLower(path)
	if path == "" || strings.HasPrefix(lower, ":memory:") || strings.HasPrefix(lower, "file:") || strings.Contains(path, "://") {
		return "", ConfigErrorf("path %q: want the plain path of a file, such as deployhook.db, instead of a URI or an in-memory "+
			"database, which a crash would lose", withoutSecrets(path))
	}
	full, err = filepath.Abs(path)
	if err != nil {
		return "", ConfigErrorf("path %q: %w", path, err)
	}
	switch info, err := os.Stat(filepath.Dir(full)); {
	case err != nil:
		return "", ConfigErrorf("path %q: the directory can't be used: %w; create it first", path, err)
	case !info.IsDir():
		return "", ConfigErrorf("path %q: its parent is not a directory", path)
	}
	return full, nil
}

// withoutSecrets returns only the scheme of a URL, which may contain a
// password.
func withoutSecrets(path string) string {
	if scheme, _, found := strings.Cut(path, "://"); found {
		return scheme + "://…"
	}
	return path
}

// createPrivate creates a missing file that only its owner can read. SQLite
// gives its -wal and -shm files the same mode. fresh reports whether the file
// is empty, so that it has no database yet.
//
// It never opens a file that exists. On Unix a process loses all its locks on a
// file when it closes any descriptor of the file, and this process may have the
// database open already.
func createPrivate(path, full string) (fresh bool, err error) {
	file, err := os.OpenFile(full, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err == nil {
		return true, file.Close()
	}
	info, missing := os.Stat(full)
	switch {
	case missing != nil:
		return false, ConfigErrorf("path %q: the file can't be created: %w", path, err)
	case info.IsDir():
		return false, ConfigErrorf("path %q: it is a directory; name a file in it", path)
	}
	if err := checkWritable(full); err != nil {
		return false, ConfigErrorf("path %q: the file can't be opened: %w", path, err)
	}
	return info.Size() == 0, nil
}

// writing returns the settings of connections that write.
func writing(busy time.Duration) url.Values {
	return url.Values{
		"_pragma": {busyPragma(busy), "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
}

func busyPragma(busy time.Duration) string {
	return "busy_timeout(" + strconv.FormatInt(busy.Milliseconds(), 10) + ")"
}

// sqliteDSN is for a file that exists. A connection that is made after the file
// was deleted must fail. It would otherwise create an empty file, and SQLite
// would remove the -wal file.
func sqliteDSN(path string, settings url.Values) string {
	name := url.URL{Path: filepath.ToSlash(path)}
	escaped := name.EscapedPath()
	if !strings.HasPrefix(escaped, "/") { // a drive letter
		escaped = "/" + escaped
	}
	return "file:" + escaped + "?mode=rw&" + settings.Encode()
}
