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

// withoutCanary fails if an error, or any that it wraps, shows the password in any form.
func withoutCanary(t *testing.T, err error) {
	t.Helper()
	require.Error(t, err)
	for each := err; each != nil; each = errors.Unwrap(each) {
		for _, format := range []string{"%v", "%+v", "%#v", "%q"} {
			require.NotContains(t, fmt.Sprintf(format, each), canary)
		}
	}
}

// A driver's errors are passed on, and with them whatever they say. Passwords are not among it.
func TestErrorsHaveNoPassword(t *testing.T) {
	t.Parallel()
	db := lazyDB(t, "postgres://user:"+canary+"@127.0.0.1:1/app?sslmode=disable&application_name="+canary)
	_, err := sqldedupe.NewPostgres(t.Context(), db)
	withoutCanary(t, err)
	require.NotErrorIs(t, err, sqldedupe.ErrConfig, "a server that is down is no mistake of the caller's")
	require.Error(t, errors.Unwrap(err))
}

func lazyDB(t *testing.T, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	require.NoError(t, err)
	closeAfter(t, db)
	return db
}

// A data source name with a mistake is found when the first connection is made, and the driver's error repeats it.
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
