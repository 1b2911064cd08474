package sqldb_test

import (
	"database/sql"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

func TestHideDSN(t *testing.T) {
	t.Parallel()
	parse := func(text string) error {
		_, err := pgconn.ParseConfig(text)
		require.Error(t, err)
		return err
	}
	for name, test := range map[string]struct {
		err error
		// want is part of the text. It is empty for errors that may be shown.
		want string
	}{
		"none":                     {nil, ""},
		"another error":            {io.ErrUnexpectedEOF, ""},
		"no rows":                  {sql.ErrNoRows, ""},
		"a text like the driver's": {errors.New("cannot parse `hunter2`"), ""},
		"another driver's URL":     {&url.Error{Op: "parse", URL: "postgres://user:hunter2@%zz/db", Err: url.EscapeError("%zz")}, "not a valid URL"},
		"a URL":                    {parse("postgres://user:hunter2@%zz/db"), "(failed to parse as URL)"},
		"wrapped":                  {errors.Join(io.EOF, parse("postgres://user:hunter2@%zz/db")), "(failed to parse as URL)"},
		"a port":                   {parse("host=h password=hunter2 port=hunter2"), "(invalid port)"},
		"TLS":                      {parse("host=h password=hunter2 sslmode=hunter2"), "(failed to configure TLS, sslmode is invalid)"},
		"a value in the message":   {parse("host=h password=hunter2 target_session_attrs=hunter2"), "(unknown target_session_attrs value)"},
		"a quoted value":           {parse("host=h password=hunter2 min_protocol_version=hunter2"), "(invalid min_protocol_version)"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := sqldb.HideDSN(test.err)
			if test.want == "" {
				require.Equal(t, test.err, err)
				return
			}
			require.ErrorIs(t, err, sqldb.ErrConfig)
			require.ErrorContains(t, err, test.want)
			for each := err; each != nil; each = errors.Unwrap(each) {
				require.NotContains(t, each.Error(), "hunter2")
			}
		})
	}
}

func TestOpenSQLite_PathsThatAreNoFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	// A name that is mistaken for a file would create it here.
	t.Chdir(dir)
	const notAFile = "want the plain path of a file"
	for path, want := range map[string]string{
		"": notAFile, ":memory:": notAFile, ":memory:x": notAFile, ":MEMORY:": notAFile, "file:a.db": notAFile, "FILE:a.db": notAFile,
		"file::memory:?cache=shared": notAFile, "sqlite://a.db": notAFile, "postgres://u:hunter2@h/db": notAFile,
		"missing/a.db": "the directory can't be used", filepath.Join(file, "a.db"): "is not a directory", dir: "is a directory",
	} {
		_, err := sqldb.OpenSQLite(t.Context(), path, 1, sqldb.BusyTimeout)
		require.ErrorIs(t, err, sqldb.ErrConfig, path)
		require.ErrorContains(t, err, want, path)
		require.NotContains(t, err.Error(), "hunter2")
		text := sqldb.WithSentinel(errors.New("store: invalid configuration"), "store", err).Error()
		assert.Equal(t, 1, strings.Count(text, "invalid configuration"), text)
		assert.True(t, strings.HasPrefix(text, "store: invalid configuration: path "), text)
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing was made")
}
