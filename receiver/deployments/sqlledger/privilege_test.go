package sqlledger_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// A role with the documented rights can do everything on tables that another
// role made. The server logs no error.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	r, ctx := sqldbtest.NewRestricted(t), t.Context()
	owner, service := openPostgres(t, r.Owner), openPostgres(t, r.Service)
	try := func(opts ...sqlledger.Option) error {
		_, err := sqlledger.NewPostgres(ctx, service, opts...)
		return err
	}
	r.Prepare(sqlledger.ErrConfig, func() { require.NoError(t, sqlledger.Migrate(ctx, owner, sqlledger.Postgres)) },
		func() error { return try() }, func() error { return try(sqlledger.WithoutMigration()) })

	for _, opts := range [][]sqlledger.Option{nil, {sqlledger.WithoutMigration()}} {
		l, err := sqlledger.NewPostgres(ctx, service, opts...)
		require.NoError(t, err)
		_, err = l.Record(ctx, "acme", deployment("1", payload.StatusPending))
		require.NoError(t, err)
		recorded, err := l.Record(ctx, "acme", deployment("1", payload.StatusSuccess))
		require.NoError(t, err)
		require.NoError(t, l.SetLinked(ctx, recorded.Record.Link("acme"), 3))
		_, err = l.Get(ctx, "acme", "1")
		require.NoError(t, err)
		all, err := l.List(ctx, "acme", deployments.Filter{Unlinked: true}, deployments.Page{})
		require.NoError(t, err)
		require.Empty(t, all.Items)
		_, err = l.RecordIncident(ctx, "acme", &payload.Incident{IncidentID: "7", OpenedAt: time.Unix(0, 0)})
		require.NoError(t, err)
		scopes, err := l.Scopes(ctx, "acme")
		require.NoError(t, err)
		require.Len(t, scopes, 1)
		for _, err := range l.Runs(ctx, "acme", scopes[0], time.Time{}, time.Time{}) {
			require.NoError(t, err)
		}
		for _, err := range l.Incidents(ctx, "acme") {
			require.NoError(t, err)
		}
		require.NoError(t, l.Close())
	}
	r.RequireNoErrors()
}

// The constructor accepts tables that were made with the SQL for
// administrators.
func TestMigrations(t *testing.T) {
	t.Parallel()
	db := newSchema(t)
	all, err := sqlledger.Migrations(sqlledger.Postgres, sqlledger.WithTablePrefix("own_"))
	require.NoError(t, err)
	for _, m := range all {
		for _, statement := range m.Statements {
			_, err := db.ExecContext(t.Context(), statement)
			require.NoError(t, err, statement)
		}
	}
	l, err := sqlledger.NewPostgres(t.Context(), db, sqlledger.WithTablePrefix("own_"), sqlledger.WithoutMigration())
	require.NoError(t, err)
	_, err = l.Record(t.Context(), "acme", deployment("1", payload.StatusPending))
	require.NoError(t, err)
	for _, wrong := range []sqlledger.Option{nil, sqlledger.WithTablePrefix("1")} {
		_, err = sqlledger.Migrations(sqlledger.Postgres, wrong)
		require.ErrorIs(t, err, sqlledger.ErrConfig)
	}
	_, err = sqlledger.Migrations(7)
	require.ErrorIs(t, err, sqlledger.ErrConfig)
	require.ErrorIs(t, sqlledger.Migrate(t.Context(), nil, sqlledger.Postgres), sqlledger.ErrConfig)
}

func TestZeroLedger(t *testing.T) {
	t.Parallel()
	for _, l := range []*sqlledger.Ledger{nil, {}} {
		_, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusPending))
		require.ErrorContains(t, err, "NewPostgres")
		_, err = l.Get(t.Context(), "acme", "1")
		require.ErrorContains(t, err, "NewPostgres")
		_, err = l.List(t.Context(), "acme", deployments.Filter{}, deployments.Page{})
		require.ErrorContains(t, err, "NewPostgres")
		_, err = l.Scopes(t.Context(), "acme")
		require.ErrorContains(t, err, "NewPostgres")
		_, err = l.RecordIncident(t.Context(), "acme", &payload.Incident{})
		require.ErrorContains(t, err, "NewPostgres")
		for _, err := range l.Runs(t.Context(), "acme", deployments.Scope{}, time.Time{}, time.Time{}) {
			require.ErrorContains(t, err, "NewPostgres")
		}
		for _, err := range l.Incidents(t.Context(), "acme") {
			require.ErrorContains(t, err, "NewPostgres")
		}
		require.ErrorContains(t, l.SetLinked(t.Context(), deployments.Link{}, 1), "NewPostgres")
		require.NoError(t, l.Close())
	}
}
