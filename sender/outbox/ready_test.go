package outbox_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestReady(t *testing.T) {
	t.Parallel()
	ready := func(t *testing.T, o *outbox.Outbox, err error) func(context.Context) error {
		require.NoError(t, err)
		t.Cleanup(func() {
			require.NoError(t, o.Close())
			require.ErrorIs(t, o.Ready(context.Background()), outbox.ErrClosed)
		})
		return o.Ready
	}
	sqldbtest.Readiness{
		SQLite: func(t *testing.T, path string) func(context.Context) error {
			o, err := outbox.OpenSQLite(t.Context(), path, outbox.WithSealingKeys(testKey))
			return ready(t, o, err)
		},
		Postgres: func(t *testing.T, url string) func(context.Context) error {
			o, err := outbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, url), outbox.WithSealingKeys(testKey))
			return ready(t, o, err)
		},
	}.Run(t)
	require.ErrorIs(t, (&outbox.Outbox{}).Ready(t.Context()), outbox.ErrConfig)
}
