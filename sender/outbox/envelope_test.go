package outbox_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
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

// A receiver gets the event that was published, in both forms.
func TestFormatEnvelope_ReachesAReceiver(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		a := o.App("shop")
		live := event(payload.DeployLive, "dep_1")
		require.NoError(t, live.Extra.Set("tenant", map[string]any{"n": 1.5}))
		require.NoError(t, live.Metadata.Set("release", "R-77"))
		got := map[string]chan *receiver.Delivery{}
		for _, format := range []string{outbox.FormatJSON, outbox.FormatEnvelope} {
			received := make(chan *receiver.Delivery, 1)
			got[format] = received
			c := endpointAt(receiverAt(t, func(d *receiver.Delivery) { received <- d }))
			c.BodyFormat, c.Secret = format, outbox.NewSecret(receiverSecret)
			create(t, a, c)
		}
		p := publish(t, a, live, outbox.WithEventID("evt_1"))
		for _, ref := range p.Deliveries {
			settled(t, o, ref.ID, outbox.Delivered)
		}
		inEnvelope, own := <-got[outbox.FormatEnvelope], <-got[outbox.FormatJSON]
		require.NotNil(t, inEnvelope.Envelope)
		require.Nil(t, own.Envelope)
		for _, d := range []*receiver.Delivery{inEnvelope, own} {
			require.Equal(t, d.ID, d.Event.DeliveryID)
			d.Event.DeliveryID = ""
		}
		require.Equal(t, own.Event, inEnvelope.Event)
		require.Equal(t, live.Metadata, inEnvelope.Event.Metadata)
	})
}

const receiverSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// receiverAt serves a receiver that takes envelopes, and returns its URL.
func receiverAt(t *testing.T, handle func(*receiver.Delivery)) string {
	t.Helper()
	secret, err := signer.ParseSecret(receiverSecret)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "outbox"), receiver.WithEnvelope(), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	server := httptest.NewServer(rcv.Events(func(ctx context.Context, _ *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		handle(d)
		return nil
	}))
	t.Cleanup(func() {
		server.Close()
		require.NoError(t, store.Close())
	})
	return server.URL
}
