package sqldbtest

import (
	"context"
	neturl "net/url"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

// Restricted is a PostgreSQL server for one test with two roles. The owner may
// create schemas and tables, and the role named service has no rights.
type Restricted struct {
	t      testing.TB
	server *servicetest.Server
	// Owner and Service are the URLs for the two roles.
	Owner, Service string

	failed []string // statements that were to fail
}

// NewRestricted starts the server, or skips the test. It logs every statement.
func NewRestricted(t testing.TB) *Restricted {
	t.Helper()
	server := servicetest.StartPostgres(t, "log_statement=all")
	for _, statement := range []string{
		"CREATE ROLE owner LOGIN", "CREATE ROLE service LOGIN",
		"GRANT CREATE ON DATABASE postgres TO owner", "GRANT CREATE ON SCHEMA public TO owner",
		"REVOKE ALL ON SCHEMA public FROM PUBLIC", "GRANT USAGE ON SCHEMA public TO owner",
	} {
		onServer(t, server.URL(), statement)
	}
	as := func(role string) string {
		url, err := neturl.Parse(server.URL())
		require.NoError(t, err)
		url.User = neturl.User(role)
		return url.String()
	}
	return &Restricted{t: t, server: server, Owner: as("owner"), Service: as("service")}
}

var grant = regexp.MustCompile(`(?m)^//\t(GRANT .*;)$`)

// Prepare has the owner make a store's tables, and gives the service the rights
// of the package's doc.go. The service opens the store with and without
// migration. Both must fail with config before the tables are there, and the
// second one also as long as the service has no rights.
func (r *Restricted) Prepare(config error, migrate func(), open, openWithout func() error) {
	r.t.Helper()
	require.ErrorIs(r.t, open(), config, "no right to create tables")
	err := openWithout()
	require.ErrorIs(r.t, err, config, "no tables")
	require.ErrorContains(r.t, err, "WithoutMigration")
	migrate()
	require.ErrorIs(r.t, openWithout(), config, "the tables can't be read")
	r.grant("doc.go")
	r.failed = r.errors()
}

// RequireNoErrors requires that no statement has failed since Prepare, apart
// from those of Refused.
func (r *Restricted) RequireNoErrors() {
	r.t.Helper()
	require.Equal(r.t, r.failed, r.errors(), "the server's log has only the expected failures")
}

// grant gives the service the rights that a package documents, which are the
// GRANT statements of the named file.
func (r *Restricted) grant(doc string) {
	r.t.Helper()
	text, err := os.ReadFile(doc)
	require.NoError(r.t, err)
	found := grant.FindAllStringSubmatch(string(text), -1)
	require.NotEmpty(r.t, found, "no GRANT in %s", doc)
	for _, one := range found {
		if strings.Contains(one[1], "ON SCHEMA public") {
			onServer(r.t, r.server.URL(), one[1])
			continue
		}
		onServer(r.t, r.Owner, one[1])
	}
}

// Refused runs a statement as the service and requires that the server refuses
// it.
func (r *Restricted) Refused(statement string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, r.Service)
	require.NoError(r.t, err)
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	require.ErrorContains(r.t, err, "42501")
	r.failed = r.errors()
}

// Ran waits until the service has run a statement with each of the texts.
func (r *Restricted) Ran(texts ...string) {
	r.t.Helper()
	for _, text := range texts {
		ok := assert.Eventually(r.t, func() bool { return strings.Contains(r.server.Log(), text) }, patience, 50*time.Millisecond)
		require.True(r.t, ok, "%q is not in the server's log", text)
	}
}

// errors returns the lines of the server's log about failed statements.
func (r *Restricted) errors() (lines []string) {
	for line := range strings.Lines(r.server.Log()) {
		if strings.Contains(line, "ERROR:") || strings.Contains(line, "FATAL:") {
			lines = append(lines, line)
		}
	}
	return lines
}
