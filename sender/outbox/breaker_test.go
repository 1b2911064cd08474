package outbox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestBreaker_NewURLMakesDeliveriesDue(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1, 30*time.Minute, time.Hour))
		h, fixed := newHook(t, always(500)), newHook(t, nil)
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		publish(t, o.App("shop"), event(payload.DeployLive, "d"))
		eventually(t, func() bool {
			x, err := o.App("shop").Endpoint(context.Background(), e.ID)
			return err == nil && !x.BreakerOpenUntil.IsZero()
		}, "the breaker was not stored as open")
		late := publish(t, o.App("shop"), event(payload.DeployLive, "d2")).Deliveries[0]
		eventually(t, func() bool { return w.asleep(t) >= 1 }, "nothing waits for the breaker")
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL(fixed.URL))})
		require.NoError(t, err)
		settled(t, o, late.ID, outbox.Delivered)

		w.exec(t, fmt.Sprintf(`UPDATE {t} SET breaker_open_until = %d`, time.Now().Add(24*time.Hour).UnixMicro())) // a clock that is wrong
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d3")).Deliveries[0].ID, outbox.Delivered)
	})
}

// Enable also makes deliveries due if its process does not deliver.
func TestBreaker_EnableMakesDeliveriesDue(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		api := w.open(t)
		h := newHook(t, nil)
		e, _ := create(t, api.App("shop"), endpointAt(h.URL))
		w.exec(t, fmt.Sprintf(`UPDATE {t} SET breaker_open_until = %d`, time.Now().Add(9*time.Minute).UnixMicro()))
		id := publish(t, api.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID
		require.NoError(t, api.App("shop").Enable(t.Context(), e.ID))
		require.NoError(t, api.Close())
		api = w.open(t)
		w.start(t)
		settled(t, api, id, outbox.Delivered)
	})
}
