package main

import (
	"context"
	"log/slog"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/guides/internal/guidetest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestMain(m *testing.M) { guidetest.Main(m, main) }

func TestReadme_SnippetsAreInTheProgram(t *testing.T) {
	t.Parallel()
	guidetest.CheckSnippets(t)
}

func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "openssl"} {
		servicetest.Program(t, tool)
	}
	out := guidetest.Shell(t, "bash", nil, nil, "8080", guidetest.Port(t))
	guidetest.CheckOutput(t, out)
	require.Contains(t, out, `{"app":"shop"}`)
	require.Contains(t, out, `"type":"deploy.live"`)
	require.Contains(t, out, "service: stopping")
}

func TestSettings(t *testing.T) {
	t.Parallel()
	require.ErrorContains(t, guidetest.Start(t, nil, "-addr", "127.0.0.1:0").Wait(), "PLATFORM_SEALING_KEY: want the output of")
	key := "PLATFORM_SEALING_KEY=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
	require.ErrorContains(t, guidetest.Start(t, []string{key}, "-addr", "127.0.0.1:0").Wait(), "PLATFORM_API_TOKEN: set it")
}

// An administrator runs the SQL of the guide as the owner of the database. The
// service's role, with the rights of the guide, then publishes.
func TestReadme_AdministratorMakesTheTables(t *testing.T) {
	t.Parallel()
	admin := servicetest.PostgresURL(t)
	psql := servicetest.PostgresTool(t, "psql")
	ctx := t.Context()
	conn, err := pgx.Connect(ctx, admin)
	require.NoError(t, err)
	name := "guide_" + strings.ReplaceAll(uuid.NewString(), "-", "")
	owner, service := name+"_owner", name+"_service"
	exec := func(ctx context.Context, statements ...string) {
		for _, sql := range statements {
			_, err := conn.Exec(ctx, sql)
			require.NoError(t, err, sql)
		}
	}
	exec(ctx, "CREATE ROLE "+owner+" LOGIN", "CREATE ROLE "+service+" LOGIN", "CREATE DATABASE "+name+" OWNER "+owner)
	t.Cleanup(func() {
		ctx := context.WithoutCancel(ctx)
		exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)", "DROP ROLE "+owner, "DROP ROLE "+service)
		require.NoError(t, conn.Close(ctx))
	})
	as := func(role string) string {
		u, err := url.Parse(admin)
		require.NoError(t, err)
		u.User, u.Path = url.User(role), "/"+name
		return u.String()
	}
	grants := strings.ReplaceAll(strings.Join(guidetest.Blocks(t, "sql"), ""), "TO service;", "TO "+service+";")
	require.Equal(t, 3, strings.Count(grants, service))
	guidetest.Shell(t, "sh", map[string]string{"grants.sql": grants}, []string{"OWNER_URL=" + as(owner)}, "psql ", "'"+psql+"' ")

	ownTable(t, as(owner), service)

	key, err := randomKey()
	require.NoError(t, err)
	p, err := open(ctx, database{url: as(service)}, key, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	defer func() { require.NoError(t, p.close()) }()
	require.NoError(t, p.outbox.Ready(ctx))
	require.NoError(t, p.outbox.RegisterApp(ctx, "shop"))
	require.NoError(t, p.deployed(ctx, "shop", "dep_1", "v1"))
	events, err := p.outbox.App("shop").Events(ctx, outbox.EventFilter{}, outbox.Page{})
	require.NoError(t, err)
	require.Len(t, events.Items, 1)
	_, err = p.pool.Exec(ctx, "CREATE TABLE deployhook_outbox.more (id int)")
	require.Error(t, err, "the service's role may not change the schema")
}

// ownTable makes the table of the platform itself.
func ownTable(t *testing.T, owner, service string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), owner)
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "CREATE TABLE deployments (id TEXT PRIMARY KEY, tenant TEXT, version TEXT)")
	require.NoError(t, err)
	_, err = conn.Exec(t.Context(), "GRANT INSERT ON deployments TO "+service)
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
}
