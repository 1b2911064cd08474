package outbox_test

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// Through PgBouncer in transaction mode the constructor names every option that
// is missing. With them, 500 events are delivered once each by two processes.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t)
	w := &world{pool: sqldbtest.OpenPool(t, pooled)}
	_, err := w.tryOpen()
	require.ErrorIs(t, err, outbox.ErrConfig)
	for _, want := range []string{"default_query_exec_mode=exec", "WithPreparedStatements", "WithPolling"} {
		require.ErrorContains(t, err, want)
	}
	exec := sqldbtest.ExecMode(t, pooled)
	w = &world{pool: sqldbtest.OpenPool(t, exec)}
	_, err = w.tryOpen()
	require.ErrorIs(t, err, outbox.ErrConfig)
	require.ErrorContains(t, err, "WithPolling")

	h := newHook(t, nil)
	one := w.start(t, outbox.WithPolling())
	two := (&world{pool: sqldbtest.OpenPool(t, exec)}).start(t, outbox.WithPolling())
	_, _, err = one.App("shop").CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(h.URL)})
	require.NoError(t, err)
	const events = 500
	var mu sync.Mutex
	published := make(map[string]bool)
	var publishers sync.WaitGroup
	for publisher := range 10 {
		publishers.Go(func() {
			for i := range events / 10 {
				o := []*outbox.Outbox{one, two}[i%2]
				p, err := o.App("shop").Publish(t.Context(), event(payload.DeployLive, fmt.Sprint(publisher*events/10+i)))
				if err != nil || len(p.Deliveries) != 1 {
					t.Errorf("publishing: %v %v", p, err)
					return
				}
				mu.Lock()
				published[p.Deliveries[0].ID] = true
				mu.Unlock()
			}
		})
	}
	publishers.Wait()
	require.Len(t, published, events)
	eventually(t, func() bool { return h.count() >= events }, "every event arrives")
	for _, o := range []*outbox.Outbox{one, two} {
		require.NoError(t, o.Stop(context.WithoutCancel(t.Context())))
	}
	arrived := make(map[string]bool)
	for _, r := range h.requests() {
		arrived[r.header.Get("Webhook-Id")] = true
	}
	require.Equal(t, published, arrived, "0 lost")
	require.Equal(t, events, h.count(), "0 doubled")
}
