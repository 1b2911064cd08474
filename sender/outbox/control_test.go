package outbox_test

import (
	"cmp"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// controlled lets endpoints control their deliveries.
func controlled() outbox.Option {
	return outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithDeliveryControl())
}

// An abort makes a dead letter of its delivery. It neither opens the breaker
// nor marks the endpoint as failing, however many there are.
func TestDeliveryControl_Abort(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, controlled(), outbox.WithHook(notices.add), outbox.WithBreaker(1, time.Hour, time.Hour))
		h := newHook(t, always(422))
		h.header.Set("Webhook-Delivery", "abort-message")
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		var id string
		for range 3 {
			id = publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
			d := settled(t, o, id, outbox.Failed)
			require.Equal(t, 1, d.Attempts)
			require.Equal(t, sender.ClassAborted, d.LastClass)
			require.Contains(t, d.LastError, "422 Unprocessable Entity with Webhook-Delivery: abort-message")
			require.Equal(t, "aborted", d.Problem().Code)
		}
		attempts, err := o.App("shop").Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.Equal(t, sender.Aborted, attempts[0].Outcome)
		require.Equal(t, "aborted", attempts[0].Problem().Code)
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Zero(t, got.FailingSince)
		require.Zero(t, got.BreakerOpenUntil)
		require.Empty(t, notices.of(outbox.NoticeFailing))

		h.mu.Lock()
		h.header.Del("Webhook-Delivery")
		h.mu.Unlock()
		h.set(nil)
		require.NoError(t, o.App("shop").Replay(t.Context(), id))
		settled(t, o, id, outbox.Delivered)
	})
}

// An endpoint can disable itself, also with the answer that accepts a delivery.
func TestDeliveryControl_Disable(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, controlled())
		for status, c := range map[int]struct {
			state   outbox.State
			outcome sender.Outcome
			code    string
			reason  string
		}{
			200: {outbox.Delivered, sender.Delivered, "", "the endpoint answered with Webhook-Delivery: disable"},
			410: {outbox.Failed, sender.Gone, "gone", "the endpoint answered 410 Gone"},
			503: {outbox.Failed, sender.Gone, "disabled", "the endpoint answered with Webhook-Delivery: disable"},
		} {
			h := newHook(t, always(status))
			h.header.Set("Webhook-Delivery", "Disable")
			app := "shop" + time.Duration(status).String()
			e, _ := create(t, o.App(app), endpointAt(h.URL))
			id := publish(t, o.App(app), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
			d := settled(t, o, id, c.state)
			require.Equal(t, c.code, d.Problem().Code)
			require.Equal(t, 1, d.Attempts)
			attempts, err := o.App(app).Attempts(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, c.outcome, attempts[0].Outcome)
			var got outbox.Endpoint
			eventually(t, func() bool {
				got, err = o.App(app).Endpoint(t.Context(), e.ID)
				require.NoError(t, err)
				return got.State == outbox.EndpointDisabled
			}, "not disabled")
			require.Equal(t, c.reason, got.Reason)
			require.Empty(t, publish(t, o.App(app), event(payload.DeployLive, "dep_2")).Deliveries)
		}
	})
}

// Without the option, the header means nothing.
func TestDeliveryControl_IsOffByDefault(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		for _, directive := range []string{"abort-message", "disable"} {
			h := newHook(t, func(n int, _ received) int { return cmp.Or(map[int]int{1: 500}[n], 200) })
			h.header.Set("Webhook-Delivery", directive)
			e, _ := create(t, o.App(directive), endpointAt(h.URL))
			d := settled(t, o, publish(t, o.App(directive), event(payload.DeployLive, "dep_1")).Deliveries[0].ID, outbox.Delivered)
			require.Equal(t, 2, d.Attempts)
			got, err := o.App(directive).Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			require.Equal(t, outbox.EndpointActive, got.State)
		}
	})
}
