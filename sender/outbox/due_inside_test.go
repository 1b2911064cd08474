package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// Delivery IDs never go back in time. After the clock was set back, they lie in
// the future, and a delivery must not wait until then.
func TestNewDelivery_IsDueByTheClock(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		e := stepOf("platform.step")
		e.Timestamp = time.Date(2026, 3, 12, 14, 22, 0, 0, time.UTC)
		setBack := time.Now().Add(-time.Hour)
		n, err := o.publisher.newDelivery(t.Context(), &draft{app: "shop", id: "evt_1", event: *e, at: setBack}, &subscriber{id: "ep_1", format: FormatJSON})
		require.NoError(t, err)
		require.Equal(t, setBack, n.due)
		require.Equal(t, setBack, n.runAt)
		require.Greater(t, n.id, payload.NewDeliveryID()[:10], "IDs keep their order")
	})
}
