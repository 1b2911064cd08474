package riverdb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// OpenSQLite opens the file at path, and creates it, for its owner only, where there is none; the directory must exist.
// [DB.Close] closes it. Several processes of one machine may open the same file; network file systems do not lock it
// reliably.
//
// Every commit is on disk before it returns (WAL, synchronous=FULL), and other processes' transactions are waited for up to
// 10 seconds.
func OpenSQLite(ctx context.Context, path string) (*DB, error) {
	full, err := checkPath(path)
	if err != nil {
		return nil, err
	}
	if err := createPrivate(full); err != nil {
		return nil, err
	}
	lite, err := sql.Open("sqlite", dsn(full))
	if err != nil {
		return nil, fmt.Errorf("riverdb: opening %s: %w", path, err)
	}
	// One connection: with more, River's own parts meet SQLITE_BUSY in each other.
	lite.SetMaxOpenConns(1)
	lite.SetMaxIdleConns(1)
	lite.SetConnMaxLifetime(0)
	if err := lite.PingContext(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("riverdb: opening %s: %w", path, err), lite.Close())
	}
	return &DB{dialect: SQLite, lite: lite}, nil
}

func checkPath(path string) (string, error) {
	if path == "" || strings.HasPrefix(path, ":memory:") || strings.HasPrefix(path, "file:") {
		return "", fmt.Errorf("%w: path %q: give the plain path of a file, such as deployhook.db; nothing in memory would "+
			"survive a crash", ErrConfig, path)
	}
	full, err := filepath.Abs(path)
	if err != nil {
		return "", fmt.Errorf("%w: path %q: %w", ErrConfig, path, err)
	}
	info, err := os.Stat(filepath.Dir(full))
	if err != nil {
		return "", fmt.Errorf("%w: the directory of %q: %w; create it first", ErrConfig, path, err)
	}
	if !info.IsDir() {
		return "", fmt.Errorf("%w: the parent of %q is not a directory", ErrConfig, path)
	}
	return full, nil
}

// createPrivate makes a missing file readable for its owner only. SQLite gives its -wal and -shm files the same mode.
func createPrivate(path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%w: creating the database: %w", ErrConfig, err)
	}
	return file.Close()
}

func dsn(path string) string {
	pragmas := url.Values{
		"_pragma": {"busy_timeout(10000)", "journal_mode(WAL)", "synchronous(FULL)", "foreign_keys(1)"},
		"_txlock": {"immediate"},
	}
	name := url.URL{Path: filepath.ToSlash(path)}
	return "file:" + name.EscapedPath() + "?" + pragmas.Encode()
}
