package sqldbtest

import (
	neturl "net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// NewPooler starts a PostgreSQL server for the test and PgBouncer in front of
// it, or skips the test. The settings are lines of PgBouncer's configuration.
// It returns the URLs of PgBouncer and of the server.
func NewPooler(t testing.TB, settings ...string) (pooled, direct string) {
	t.Helper()
	server := servicetest.StartPostgres(t)
	return servicetest.StartPgBouncer(t, server, settings...).URL(), server.URL()
}

// ExecMode returns url with the protocol that works through a pooler in
// transaction mode.
func ExecMode(t testing.TB, url string) string {
	t.Helper()
	u, err := neturl.Parse(url)
	require.NoError(t, err)
	q := u.Query()
	q.Set("default_query_exec_mode", "exec")
	u.RawQuery = q.Encode()
	return u.String()
}
