package sqlledger_test

import (
	"context"
	"database/sql"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

func TestReady(t *testing.T) {
	t.Parallel()
	sqldbtest.Readiness{
		SQLite: func(t *testing.T, path string) func(context.Context) error {
			l, err := sqlledger.OpenSQLite(t.Context(), path)
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, l.Close())
				require.ErrorIs(t, l.Ready(context.Background()), deployments.ErrClosed)
			})
			return l.Ready
		},
		Postgres: func(t *testing.T, url string) func(context.Context) error {
			db, err := sql.Open("pgx", url)
			require.NoError(t, err)
			t.Cleanup(func() { _ = db.Close() })
			l, err := sqlledger.NewPostgres(t.Context(), db)
			require.NoError(t, err)
			return l.Ready
		},
	}.Run(t)
	require.ErrorContains(t, (&sqlledger.Ledger{}).Ready(t.Context()), "make it with OpenSQLite")
}
