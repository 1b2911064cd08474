package outbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// All attempts, a replay and a test of an endpoint send the envelope. The bytes
// of a delivery never change, also after the endpoint has another format.
func TestFormatEnvelope(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		h := newHook(t, func(n int, _ received) int {
			if n == 1 {
				return 500
			}
			return 200
		})
		o := w.start(t)
		a := o.App("shop")
		c := endpointAt(h.URL)
		c.BodyFormat = outbox.FormatEnvelope
		e, _ := create(t, a, c)
		require.Equal(t, "envelope", e.BodyFormat)
		live := event(payload.DeployLive, "dep_1")
		p := publish(t, a, live, outbox.WithEventID("evt_1"))
		d := settled(t, o, p.Deliveries[0].ID, outbox.Delivered)

		format := outbox.FormatJSON
		_, err := a.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{BodyFormat: &format})
		require.NoError(t, err)
		require.NoError(t, a.Replay(t.Context(), d.ID))
		eventually(t, func() bool { return h.count() == 3 }, "the replay was not sent")
		for _, r := range h.requests() {
			require.Equal(t, string(d.Body), string(r.body))
			require.Equal(t, "application/json", r.header.Get("Content-Type"))
			require.Equal(t, d.ID, r.header.Get("Webhook-Id"))
		}
		envelope, err := payload.DecodeEnvelope(d.Body)
		require.NoError(t, err)
		got := envelope.Event
		require.Equal(t, d.ID, got.DeliveryID)
		got.DeliveryID = ""
		require.NoError(t, live.Extra.Set("event_id", "evt_1"))
		want, err := live.Encode()
		require.NoError(t, err)
		have, err := got.Encode()
		require.NoError(t, err)
		require.Equal(t, string(want), string(have))

		format = outbox.FormatEnvelope
		_, err = a.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{BodyFormat: &format})
		require.NoError(t, err)
		test, _, err := a.TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		tested, err := payload.DecodeEnvelope(test.Body)
		require.NoError(t, err)
		require.Equal(t, outbox.EventTest, tested.Event.Type)
		require.Equal(t, test.ID, tested.Event.DeliveryID)
	})
}
