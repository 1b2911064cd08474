package inbox_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/receiver/inbox"
)

func TestReady(t *testing.T) {
	t.Parallel()
	ready := func(t *testing.T, in *inbox.Inbox, err error) func(context.Context) error {
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, in.Close())
			require.ErrorIs(t, in.Ready(context.Background()), inbox.ErrClosed)
		})
		return in.Ready
	}
	sqldbtest.Readiness{
		SQLite: func(t *testing.T, path string) func(context.Context) error {
			in, err := inbox.OpenSQLite(t.Context(), path, (&calls{}).handle)
			return ready(t, in, err)
		},
		Postgres: func(t *testing.T, url string) func(context.Context) error {
			in, err := inbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, url), (&calls{}).handle)
			return ready(t, in, err)
		},
	}.Run(t)
	require.ErrorIs(t, (&inbox.Inbox{}).Ready(t.Context()), inbox.ErrConfig)
}
