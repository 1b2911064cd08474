package sqldedupe_test

import (
	"database/sql"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe/sqldedupe"
)

const canary = "canary-4711"

// withoutCanary fails if an error, or any error that it wraps, contains the
// password in any form.
func withoutCanary(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for each := err; each != nil; each = errors.Unwrap(each) {
		for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
			require.NotContains(t, fmt.Sprintf(format, each), canary)
		}
	}
}

// The errors of a driver are passed on with their texts, but without passwords.
func TestErrorsHaveNoPassword(t *testing.T) {
	t.Parallel()
	db := lazyDB(t, "postgres://user:"+canary+"@127.0.0.1:1/app?sslmode=disable&application_name="+canary)
	_, err := sqldedupe.NewPostgres(t.Context(), db)
	withoutCanary(t, err)
	require.NotErrorIs(t, err, sqldedupe.ErrConfig, "an unavailable server is not the caller's mistake")
	require.Error(t, errors.Unwrap(err))
}

func lazyDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	closeAfter(t, db)
	return db
}

// An invalid data source name causes an error at the first connection, and the
// driver's error repeats the name.
func TestMistakenDSNIsNotShown(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"postgres://u:" + canary + "@127.0.0.1:1/db?sslmode=bogus":             "sslmode is invalid",
		"postgres://127.0.0.1:1/db?user=u&password=" + canary + "&sslmode=bad": "sslmode is invalid",
		"postgres://u:" + canary + "@127.0.0.1:port/db":                        "invalid port",
		"postgres://u:" + canary + "%zz@127.0.0.1/db":                          "failed to parse as URL",
		"host=127.0.0.1 user=u password=" + canary + " sslmode=bogus":          "sslmode is invalid",
		"host=127.0.0.1 user=u password = " + canary + " sslmode=bogus":        "sslmode is invalid",
		"host=127.0.0.1 user=u password\t=\t'" + canary + "' sslmode = bogus":  "sslmode is invalid",
		"host=127.0.0.1 user=u password='" + canary:                            "failed to parse as keyword/value",
		"host=127.0.0.1 password=a " + canary + " connect_timeout=1":           "can't parse",
		"host=127.0.0.1 password = " + canary + " connect_timeout=soon":        "invalid connect_timeout",
		"host=127.0.0.1 password = " + canary + " default_query_exec_mode=x":   "invalid default_query_exec_mode",
	} {
		db := lazyDB(t, dsn)
		_, err := sqldedupe.NewPostgres(t.Context(), db)
		for _, err := range []error{err, sqldedupe.Migrate(t.Context(), db, sqldedupe.Postgres)} {
			withoutCanary(t, err)
			require.ErrorIs(t, err, sqldedupe.ErrConfig)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "bogus", "no piece of the name is shown")
		}
	}
}
