package outbox_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

func TestPublishedEventsReachTheSubscribedEndpoints(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		all, failures := newHook(t, nil), newHook(t, nil)
		a, secret := create(t, o.App("shop"), endpointAt(all.URL))
		only := endpointAt(failures.URL)
		only.Events = []string{"deploy.failed"}
		b, _ := create(t, o.App("shop"), only)

		live := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		require.Len(t, live.Deliveries, 1)
		require.Equal(t, a.ID, live.Deliveries[0].Endpoint)
		failed := publish(t, o.App("shop"), event(payload.DeployFailed, "dep_2"))
		require.Len(t, failed.Deliveries, 2)
		require.NotEqual(t, failed.Deliveries[0].ID, failed.Deliveries[1].ID)
		for _, ref := range append(live.Deliveries, failed.Deliveries...) {
			settled(t, o, ref.ID, outbox.Delivered)
		}
		require.Equal(t, 2, all.count())
		require.Equal(t, 1, failures.count())
		require.Equal(t, b.ID, failed.Deliveries[1].Endpoint)

		key, err := signer.ParseSecret(secret.Reveal())
		require.NoError(t, err)
		scheme, err := signer.NewStandard(key)
		require.NoError(t, err)
		for _, r := range all.requests() {
			verified, err := scheme.Verify(&http.Request{Header: r.header}, r.body)
			require.NoError(t, err)
			e, err := payload.DecodeEvent(r.body)
			require.NoError(t, err)
			require.Equal(t, verified.ID, e.DeliveryID)
			id, _ := e.Extra.Get("event_id")
			text, _ := id.Text()
			require.Contains(t, []string{live.EventID, failed.EventID}, text)
		}

		d := settled(t, o, live.Deliveries[0].ID, outbox.Delivered)
		require.Equal(t, all.sent(d.ID)[0].body, d.Body)
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, 200, d.LastStatus)
		require.Zero(t, d.NextAt)
		require.WithinDuration(t, time.Now(), d.DoneAt, patience)
		require.WithinDuration(t, time.Now(), d.CreatedAt, patience)
		attempts, err := o.App("shop").Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.Equal(t, sender.Delivered, attempts[0].Outcome)
		require.Equal(t, "thanks", string(attempts[0].Body))
		require.Equal(t, 1, attempts[0].Number)
		require.NotEmpty(t, attempts[0].Addr)
		require.NotZero(t, attempts[0].Timings.Total)
		require.Equal(t, d.ID, attempts[0].RequestHeader.Get("Webhook-Id"))
		require.NotEmpty(t, attempts[0].ResponseHeader.Get("Date"))
	})
}

func TestFailedAttemptsAreMadeAgainWithTheSameBytesAndAFreshSignature(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, func(n int, _ received) int {
			if n < 3 {
				return http.StatusInternalServerError
			}
			return http.StatusNoContent
		})
		create(t, o.App("shop"), endpointAt(h.URL))
		p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		d := settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		require.Equal(t, 3, d.Attempts)
		got := h.requests()
		require.Len(t, got, 3)
		for _, r := range got {
			require.Equal(t, d.Body, r.body)
			require.Equal(t, d.ID, r.header.Get("Webhook-Id"))
		}
		attempts, err := o.App("shop").Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 3)
		require.Equal(t, sender.Failed, attempts[0].Outcome)
		require.Equal(t, 500, attempts[0].Status)
		require.NotEmpty(t, attempts[0].Error)
		require.Equal(t, 204, attempts[2].Status)
		require.Equal(t, []int{1, 2, 3}, []int{attempts[0].Number, attempts[1].Number, attempts[2].Number})
	})
}

func TestExhaustedDeliveriesAreDeadLettersAndCanBeReplayed(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(100, time.Millisecond, time.Millisecond))
		h := newHook(t, always(503))
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		d := settled(t, o, p.Deliveries[0].ID, outbox.Failed)
		require.Equal(t, 6, d.Attempts)
		require.Equal(t, 503, d.LastStatus)
		eventually(t, func() bool {
			got, err := o.App("shop").Endpoint(context.Background(), e.ID)
			require.NoError(t, err)
			return got.State == outbox.EndpointFailing
		}, "not failing")

		h.set(nil)
		require.NoError(t, o.App("shop").Replay(t.Context(), d.ID))
		again := settled(t, o, d.ID, outbox.Delivered)
		require.Equal(t, 7, again.Attempts)
		require.Equal(t, 1, again.Replays)
		require.Equal(t, d.Body, again.Body)
		require.Equal(t, d.Body, h.requests()[6].body)
		require.Equal(t, d.ID, h.requests()[6].header.Get("Webhook-Id"))
		eventually(t, func() bool {
			got, err := o.App("shop").Endpoint(context.Background(), e.ID)
			require.NoError(t, err)
			return got.State == outbox.EndpointActive && got.FailingSince.IsZero()
		}, "not active again")
		require.ErrorIs(t, o.App("shop").Replay(t.Context(), "whk_unknown"), outbox.ErrUnknownDelivery)
	})
}

func TestGoneDisablesTheEndpointAndCancelsWhatWaits(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		publisher := w.open(t)
		gone, other := newHook(t, always(http.StatusGone)), newHook(t, nil)
		c := endpointAt(gone.URL)
		c.MaxConcurrency = 1
		c.Description = "the old one"
		e, _ := create(t, publisher.App("shop"), c)
		create(t, publisher.App("shop"), endpointAt(other.URL))
		var refs []outbox.Ref
		for range 20 {
			refs = append(refs, publish(t, publisher.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0])
		}
		require.Equal(t, e.ID, refs[0].Endpoint)
		var notices notices
		w.start(t, outbox.WithHook(notices.add))
		eventually(t, func() bool {
			got, err := publisher.App("shop").Endpoint(context.Background(), e.ID)
			require.NoError(t, err)
			return got.State == outbox.EndpointDisabled && got.Reason != "" && !got.DisabledAt.IsZero()
		}, "not disabled")
		var failed, canceled int
		for _, r := range refs {
			eventually(t, func() bool {
				d, err := publisher.App("shop").Delivery(context.Background(), r.ID)
				require.NoError(t, err)
				return d.State == outbox.Failed || d.State == outbox.Canceled
			}, "still waiting")
			d, err := publisher.App("shop").Delivery(t.Context(), r.ID)
			require.NoError(t, err)
			if d.State == outbox.Failed {
				failed++
			} else {
				canceled++
			}
		}
		require.Equal(t, 1, gone.count(), "attempts went on after the 410")
		require.Equal(t, 1, failed)
		require.Equal(t, 19, canceled)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeDisabled)) == 1 }, "no notice") // the hook is told last
		p := publish(t, publisher.App("shop"), event(payload.DeployLive, "dep_2"))
		require.Len(t, p.Deliveries, 1, "nothing for the disabled one")
		require.ErrorIs(t, publisher.App("shop").Replay(t.Context(), refs[0].ID), outbox.ErrEndpointDisabled)

		// The other endpoint is told, once.
		eventually(t, func() bool { return other.count() == 22 }, "the other one misses something")
		var told []*payload.Event
		for _, r := range other.requests() {
			got, err := payload.DecodeEvent(r.body)
			require.NoError(t, err)
			if got.Type == outbox.EventEndpointDisabled {
				told = append(told, got)
			}
		}
		require.Len(t, told, 1)
		about, _ := told[0].Extra.Get("endpoint")
		require.Contains(t, about.JSON(), e.ID)
		require.Contains(t, about.JSON(), "the old one")

		gone.set(nil)
		require.NoError(t, publisher.App("shop").Enable(t.Context(), e.ID))
		status, err := publisher.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{Endpoint: e.ID}, outbox.WithReplayRate(1000))
		require.NoError(t, err)
		require.True(t, status.Complete)
		require.Equal(t, 20, status.Scheduled)
		eventually(t, func() bool {
			s, err := publisher.App("shop").ReplayStatus(context.Background(), status.ID)
			require.NoError(t, err)
			return s.Delivered == 20
		}, "replay does not end")
	})
}

// With sender.WithStopOnClientError, a 4xx answer ends the delivery.
func TestStopOnClientError(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSender(sender.WithStopOnClientError()))
		h := newHook(t, always(http.StatusBadRequest))
		create(t, o.App("shop"), endpointAt(h.URL))
		d := settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		require.Equal(t, 1, d.Attempts)
		require.Equal(t, 1, h.count())
	})
}
