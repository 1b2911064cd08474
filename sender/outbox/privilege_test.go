package outbox_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A role with the documented rights runs everything on tables that another role
// made, and the server logs no error meanwhile.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	r, ctx := sqldbtest.NewRestricted(t), t.Context()
	w := &world{pool: sqldbtest.OpenPool(t, r.Service)}
	try := func(opts ...outbox.Option) error {
		_, err := w.tryOpen(opts...)
		return err
	}
	r.Prepare(outbox.ErrConfig, func() {
		require.ErrorContains(t, try(), "CREATE SCHEMA")
		require.NoError(t, outbox.Migrate(ctx, sqldbtest.OpenPool(t, r.Owner)))
	}, func() error { return try() }, func() error { return try(outbox.WithoutMigration()) })
	r.Refused("REINDEX TABLE deployhook_outbox.outbox_job")

	failing := newHook(t, func(int, received) int { return http.StatusInternalServerError })
	good := newHook(t, nil)
	one := w.open(t)
	o := w.start(t, outbox.WithoutMigration(), outbox.WithRetention(time.Minute, 1), outbox.WithSchedule("twice", platformIn(2)))
	e, _, err := o.App("shop").CreateEndpoint(ctx, outbox.EndpointConfig{URL: sender.NewURL(good.URL)})
	require.NoError(t, err)
	bad, _, err := o.App("shop").CreateEndpoint(ctx, outbox.EndpointConfig{URL: sender.NewURL(failing.URL), Schedule: "twice"})
	require.NoError(t, err)
	p, err := one.App("shop").Publish(ctx, event(payload.DeployLive, "dep_1"))
	require.NoError(t, err)
	require.Len(t, p.Deliveries, 2)
	for _, d := range p.Deliveries {
		require.Eventually(t, func() bool {
			got, err := o.App("shop").Delivery(ctx, d.ID)
			require.NoError(t, err)
			return got.State == outbox.Delivered || got.State == outbox.Failed
		}, patience, 10*time.Millisecond)
		_, err = o.App("shop").Attempts(ctx, d.ID)
		require.NoError(t, err)
		require.NoError(t, o.App("shop").Replay(ctx, d.ID))
	}
	_, err = o.App("shop").RotateSecret(ctx, e.ID, "", time.Hour)
	require.NoError(t, err)
	_, err = o.ReSeal(ctx)
	require.NoError(t, err)
	_, err = o.App("shop").ReplayRange(ctx, outbox.DeliveryFilter{States: []outbox.State{outbox.Failed}})
	require.NoError(t, err)
	_, _, err = o.App("shop").TestEndpoint(ctx, e.ID)
	require.NoError(t, err)
	require.NoError(t, o.App("shop").Disable(ctx, bad.ID, "test"))
	require.NoError(t, o.App("shop").DeleteEndpoint(ctx, bad.ID))
	_, err = o.Prune(ctx)
	require.NoError(t, err)

	r.Ran("LISTEN", "SET claimed_until = (SELECT", "SET claimed_until = 0", "pg_notify", "DELETE FROM \"deployhook_outbox\".outbox_job")
	require.NoError(t, o.Stop(context.WithoutCancel(ctx)))
	r.RequireNoErrors()
}
