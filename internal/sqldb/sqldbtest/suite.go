package sqldbtest

import (
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	_ "github.com/jackc/pgx/v5/stdlib" // the driver named pgx
	"github.com/stretchr/testify/require"
)

// RefusesPaths requires that open accepts only paths of files, with the errors
// that all stores have. Their text begins with prefix and they wrap config.
func RefusesPaths(t *testing.T, config error, prefix string, open func(path string) error) {
	t.Helper()
	const notAFile = "want the plain path of a file"
	missing := filepath.Join(t.TempDir(), "missing", "a.db")
	for path, want := range map[string]string{
		"file:a.db": notAFile, ":memory:x": notAFile, "": notAFile, missing: "the directory can't be used",
	} {
		err := open(path)
		require.ErrorIs(t, err, config, path)
		require.ErrorContains(t, err, prefix+"path \""+path+"\": "+want)
	}
}

const password = "canary-4711"

// requireNoPassword fails if an error, or any error that it wraps, contains the
// password in any form.
func requireNoPassword(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for each := err; each != nil; each = errors.Unwrap(each) {
		for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
			require.NotContains(t, fmt.Sprintf(format, each), password)
		}
	}
}

// HidesPasswords requires that no error of open contains any part of the data
// source name of db. An invalid name causes an error at the first connection
// that wraps config. The driver's own error repeats the name.
func HidesPasswords(t *testing.T, config error, open func(db *sql.DB) error) {
	t.Helper()
	err := open(lazyDB(t, "postgres://user:"+password+"@127.0.0.1:1/app?sslmode=disable&application_name="+password))
	requireNoPassword(t, err)
	require.NotErrorIs(t, err, config, "an unavailable server is not the caller's mistake")
	require.Error(t, errors.Unwrap(err))
	for dsn, want := range map[string]string{
		"postgres://u:" + password + "@127.0.0.1:1/db?sslmode=bogus":             "sslmode is invalid",
		"postgres://127.0.0.1:1/db?user=u&password=" + password + "&sslmode=bad": "sslmode is invalid",
		"postgres://u:" + password + "@127.0.0.1:port/db":                        "invalid port",
		"postgres://u:" + password + "%zz@127.0.0.1/db":                          "failed to parse as URL",
		"host=127.0.0.1 user=u password=" + password + " sslmode=bogus":          "sslmode is invalid",
		"host=127.0.0.1 user=u password = " + password + " sslmode=bogus":        "sslmode is invalid",
		"host=127.0.0.1 user=u password\t=\t'" + password + "' sslmode = bogus":  "sslmode is invalid",
		"host=127.0.0.1 user=u password='" + password:                            "failed to parse as keyword/value",
		"host=127.0.0.1 password=a " + password + " connect_timeout=1":           "can't parse",
		"host=127.0.0.1 password = " + password + " connect_timeout=soon":        "invalid connect_timeout",
		"host=127.0.0.1 password = " + password + " default_query_exec_mode=x":   "invalid default_query_exec_mode",
	} {
		err := open(lazyDB(t, dsn))
		requireNoPassword(t, err)
		require.ErrorIs(t, err, config)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "bogus", "no part of the name is shown")
	}
}

// lazyDB returns a handle that connects when it is used.
func lazyDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}
