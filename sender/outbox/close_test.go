package outbox_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A second Close returns after the first one, which waits for an attempt. The
// caller may then close the pool.
func TestClose_SecondWaitsForFirst(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithStopTimeout(patience))
		inFlight, release := make(chan struct{}), make(chan struct{})
		h := newHook(t, func(int, received) int {
			close(inFlight)
			<-release
			return 200
		})
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		<-inFlight
		first := make(chan error, 1)
		go func() { first <- o.Close() }()
		eventually(t, func() bool {
			_, err := o.Apps(context.Background(), outbox.Page{})
			return err != nil
		}, "not closed")
		var released atomic.Bool
		// A Close that does not wait is over long before.
		time.AfterFunc(100*time.Millisecond, func() {
			released.Store(true)
			close(release)
		})
		require.NoError(t, o.Close())
		require.True(t, released.Load(), "the second Close has returned while an attempt was in flight")
		require.NoError(t, <-first)
		d, err := w.open(t).App("shop").Delivery(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, outbox.Delivered, d.State)
	})
}
