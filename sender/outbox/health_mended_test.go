package outbox_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// held answers the attempts of one deployment only when it is released, and all others at once.
func held(deployment string, status, others int) (answer func(int, received) int, in, release chan struct{}) {
	in, release = make(chan struct{}, 1), make(chan struct{})
	return func(_ int, r received) int {
		if !bytes.Contains(r.body, []byte(`"`+deployment+`"`)) {
			return others
		}
		in <- struct{}{}
		<-release
		return status
	}, in, release
}

func TestALateAnswerOfTheOldURLSaysNothingAboutTheNew(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		for _, status := range []int{410, 500} {
			app := fmt.Sprint("app", status)
			o := w.start(t, outbox.WithBreaker(1, time.Hour, time.Hour))
			answer, in, release := held("late", status, 200)
			old, fixed := newHook(t, answer), newHook(t, nil)
			e, _ := create(t, o, endpointAt(app, old.URL))
			for range 3 { // so that one that hangs does not keep the others waiting
				settled(t, o, publish(t, o, app, event(payload.DeployLive, "d1")).Deliveries[0].ID, outbox.Delivered)
			}
			late := publish(t, o, app, event(payload.DeployLive, "late")).Deliveries[0].ID
			<-in
			_, err := o.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL(fixed.URL))})
			require.NoError(t, err)
			settled(t, o, publish(t, o, app, event(payload.DeployLive, "d2")).Deliveries[0].ID, outbox.Delivered)
			close(release)
			eventually(t, func() bool {
				d, err := o.Delivery(context.Background(), late)
				require.NoError(t, err)
				return d.Attempts > 0
			}, "no answer")
			settled(t, o, publish(t, o, app, event(payload.DeployLive, "d3")).Deliveries[0].ID, outbox.Delivered)
			got, err := o.Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			require.Equal(t, outbox.EndpointActive, got.State, got.Reason)
			require.Zero(t, got.FailingSince)
			require.Zero(t, got.BreakerOpenUntil)
			closeSlowly(t, o)
		}
	})
}

func TestALateFailureDoesNotDisableWhatWasEnabledSince(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithDisableAfter(time.Hour), outbox.WithSchedule("platform", platformIn(1)))
		answer, in, release := held("late", 500, 500)
		h := newHook(t, answer)
		e, _ := create(t, o, endpointAt("shop", h.URL))
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		w.exec(t, `UPDATE {t} SET failing_since = failing_since - 7200000000`)
		w.exec(t, `UPDATE `+w.table("outbox_delivery")+` SET done_at = done_at - 7000000000`)
		late := publish(t, o, "shop", event(payload.DeployLive, "late")).Deliveries[0].ID
		<-in
		require.NoError(t, o.Enable(t.Context(), e.ID))
		h.set(nil)
		good := publish(t, o, "shop", event(payload.DeployLive, "d3")).Deliveries[0].ID
		close(release)
		settled(t, o, late, outbox.Failed)
		settled(t, o, good, outbox.Delivered)
		require.NoError(t, o.Stop(t.Context())) // which waits for what an attempt entails
		got, err := o.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.NotEqual(t, outbox.EndpointDisabled, got.State)
	})
}

// Nothing was sent for longer than WithDisableAfter: that is no evidence.
func TestAQuietEndpointIsNotDisabled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, shortBreaker(), outbox.WithDisableAfter(time.Hour), outbox.WithSchedule("platform", platformIn(2)))
		h := newHook(t, always(500))
		e, _ := create(t, o, endpointAt("shop", h.URL))
		require.Equal(t, outbox.EndpointActive, e.State)
		_, _, err := o.TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		publish(t, o, "shop", event(payload.DeployLive, "d"))
		eventually(t, func() bool {
			x, err := o.Endpoint(context.Background(), e.ID)
			return err == nil && !x.FailingSince.IsZero()
		}, "not failing")
		w.exec(t, `UPDATE {t} SET failing_since = failing_since - 7200000000`)
		for _, d := range []string{"d2", "d3"} { // both now
			settled(t, o, publish(t, o, "shop", event(payload.DeployLive, d)).Deliveries[0].ID, outbox.Failed)
		}
		require.NoError(t, o.Stop(t.Context())) // which waits for what an attempt entails
		got, err := o.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.NotEqual(t, outbox.EndpointDisabled, got.State)
	})
}

// With an open breaker and a backlog, no delivery may use up its attempts for weeks.
func TestAnEndpointThatWasTriedAllTheTimeIsDisabled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1, 100*time.Millisecond, 100*time.Millisecond), outbox.WithDisableAfter(time.Hour),
			outbox.WithSchedule("platform", platformIn(1000)))
		h := newHook(t, always(500))
		e, _ := create(t, o, endpointAt("shop", h.URL))
		for range 20 {
			publish(t, o, "shop", event(payload.DeployLive, "d"))
		}
		// An hour passes in fifths, in each of which an attempt has failed.
		for range 5 {
			recorded := "SELECT count(*) FROM " + w.table("outbox_attempt")
			before := w.queryInt(t, recorded)
			eventually(t, func() bool { return w.queryInt(t, recorded) > before }, "no attempt")
			got, err := o.Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			require.NotEqual(t, outbox.EndpointDisabled, got.State)
			w.exec(t, `UPDATE `+w.table("outbox_attempt")+` SET started_at = started_at - 720000000`)
			w.exec(t, `UPDATE {t} SET failing_since = failing_since - 720000000`)
		}
		eventually(t, func() bool {
			got, err := o.Endpoint(context.Background(), e.ID)
			return err == nil && got.State == outbox.EndpointDisabled
		}, "not disabled")
	})
}

func TestASuccessThatOverlappedAFailureEndsFailing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, outbox.WithSchedule("platform", platformIn(1)), outbox.WithHook(notices.add))
		answer, in, release := held("block", 200, 200)
		h := newHook(t, func(n int, r received) int {
			if bytes.Contains(r.body, []byte(`"fail"`)) {
				return 500
			}
			return answer(n, r)
		})
		e, _ := create(t, o, endpointAt("shop", h.URL))
		for i := range 3 {
			settled(t, o, publish(t, o, "shop", event(payload.DeployLive, fmt.Sprint("d", i))).Deliveries[0].ID, outbox.Delivered)
		}
		b := publish(t, o, "shop", event(payload.DeployLive, "block")).Deliveries[0].ID
		<-in
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "fail")).Deliveries[0].ID, outbox.Failed)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeFailing)) == 1 }, "not failing")
		close(release)
		settled(t, o, b, outbox.Delivered)
		got, err := o.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Zero(t, got.FailingSince)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeRecovered)) == 1 }, "no notice")
	})
}

func TestReplayedStaleNewsIsSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSupersession())
		h := newHook(t, nil)
		create(t, o, endpointAt("shop", h.URL))
		id := publish(t, o, "shop", event(payload.DeployStarted, "d")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
		require.NoError(t, o.Replay(t.Context(), id))
		eventually(t, func() bool { return len(h.sent(id)) == 2 }, "not sent again")
		settled(t, o, id, outbox.Delivered)
	})
}

func TestTurnsDoNotOutliveTheBacklogAndTheLimit(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		c := endpointAt("shop", h.URL)
		c.RateLimit = 1.0 / 60
		e, _ := create(t, o, c)
		var ids []string
		for range 10 {
			ids = append(ids, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID)
		}
		far := func(n int) func() bool {
			return func() bool {
				for _, id := range ids[len(ids)-n:] {
					d, err := o.Delivery(context.Background(), id)
					if err != nil || d.State == outbox.Pending && time.Until(d.NextAt) < 30*time.Second || d.State == outbox.Delivering {
						return false
					}
				}
				return true
			}
		}
		eventually(t, far(9), "no turns")
		// The backlog goes away behind everyone's back. A process that has just started looks at once how far the turns reach.
		require.NoError(t, o.Stop(t.Context()))
		o = w.start(t)
		w.exec(t, `UPDATE `+w.table("outbox_delivery")+` SET state = 'canceled' WHERE state = 'pending'`)
		ids = append(ids, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID)
		ids = append(ids, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID)
		eventually(t, func() bool {
			for _, id := range ids[10:] { // each has been delivered, or has a turn on record
				d, err := o.Delivery(context.Background(), id)
				wait := time.Until(d.NextAt)
				if err != nil || d.State != outbox.Delivered && (d.State != outbox.Pending || wait < 10*time.Second || wait > 150*time.Second) {
					return false
				}
			}
			return true
		}, "the turns of the canceled are still taken")
		fast := 100.0
		_, err := o.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &fast})
		require.NoError(t, err)
		for _, id := range ids[10:] {
			settled(t, o, id, outbox.Delivered)
		}
	})
}

func TestWhatWasHeldIsMadeWhenTheEndpointIsMended(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1, 30*time.Minute, time.Hour))
		h, fixed := newHook(t, always(500)), newHook(t, nil)
		e, _ := create(t, o, endpointAt("shop", h.URL))
		publish(t, o, "shop", event(payload.DeployLive, "d"))
		eventually(t, func() bool {
			x, err := o.Endpoint(context.Background(), e.ID)
			return err == nil && !x.BreakerOpenUntil.IsZero()
		}, "no hold")
		late := publish(t, o, "shop", event(payload.DeployLive, "d2")).Deliveries[0]
		require.Greater(t, time.Until(at(t, o, late.ID)), 10*time.Minute)
		_, err := o.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL(fixed.URL))})
		require.NoError(t, err)
		settled(t, o, late.ID, outbox.Delivered)

		w.exec(t, fmt.Sprintf(`UPDATE {t} SET breaker_open_until = %d`, time.Now().Add(24*time.Hour).UnixMicro())) // a clock that is wrong
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "d3")).Deliveries[0].ID, outbox.Delivered)
	})
}

// A process that does not deliver calls the jobs all the same.
func TestEnableMakesDueWhatWasHeld(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		api := w.open(t)
		h := newHook(t, nil)
		e, _ := create(t, api, endpointAt("shop", h.URL))
		w.exec(t, fmt.Sprintf(`UPDATE {t} SET breaker_open_until = %d`, time.Now().Add(9*time.Minute).UnixMicro()))
		id := publish(t, api, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID
		require.Greater(t, time.Until(at(t, api, id)), 5*time.Minute)
		require.NoError(t, api.Enable(t.Context(), e.ID))
		require.Less(t, time.Until(at(t, api, id)), time.Second)
		w.start(t)
		settled(t, api, id, outbox.Delivered)
	})
}

func at(t testing.TB, o *outbox.Outbox, id string) time.Time {
	t.Helper()
	d, err := o.Delivery(t.Context(), id)
	require.NoError(t, err)
	return d.NextAt
}

func TestATestIsReplayedOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, always(500))
		e, _ := create(t, o, endpointAt("shop", h.URL))
		_, _, err := o.TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		h.set(nil)
		s, err := o.ReplayRange(t.Context(), outbox.DeliveryFilter{App: "shop"})
		require.NoError(t, err)
		require.Zero(t, s.Scheduled)
		s, err = o.ReplayRange(t.Context(), outbox.DeliveryFilter{App: "shop", Type: outbox.EventTest})
		require.NoError(t, err)
		require.Equal(t, 1, s.Scheduled)
	})
}

func TestTextsThatNoColumnTakesAreUnknown(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		ctx := t.Context()
		for _, bad := range []string{"\x00", "\xff", "a\x00b"} {
			_, err := o.Delivery(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
			require.ErrorIs(t, o.Replay(ctx, bad), outbox.ErrUnknownDelivery)
			attempts, err := o.Attempts(ctx, bad)
			require.NoError(t, err)
			require.Empty(t, attempts)
			_, err = o.ReplayStatus(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownReplay)
			_, err = o.ResumeReplay(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownReplay)
			_, err = o.Publish(ctx, bad, event(payload.DeployLive, "d"))
			require.ErrorIs(t, err, outbox.ErrUnknownApp)
			_, err = o.Endpoints(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownApp)
			_, err = o.Endpoint(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			_, _, err = o.TestEndpoint(ctx, bad)
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			_, err = o.UpdateEndpoint(ctx, bad, outbox.EndpointUpdate{})
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			_, err = o.RotateSecret(ctx, bad, "", 0)
			require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
			require.ErrorIs(t, o.Enable(ctx, bad), outbox.ErrUnknownEndpoint)
			require.ErrorIs(t, o.Disable(ctx, bad, ""), outbox.ErrUnknownEndpoint)
			require.ErrorIs(t, o.DeleteEndpoint(ctx, bad), outbox.ErrUnknownEndpoint)
			for _, f := range []outbox.DeliveryFilter{{App: bad}, {Endpoint: bad}, {EventID: bad}, {Type: payload.Type(bad)}, {DeploymentID: bad}, {Replay: bad}} {
				list, err := o.Deliveries(ctx, f, outbox.Page{})
				require.NoError(t, err)
				require.Empty(t, list.Items)
				f.App += "x"
				_, err = o.ReplayRange(ctx, f)
				require.ErrorIs(t, err, outbox.ErrInvalid)
			}
			id := "whk_" + bad + strings.Repeat("0", 32-len(bad))
			_, err = o.Deliveries(ctx, outbox.DeliveryFilter{}, outbox.Page{Cursor: base64.RawURLEncoding.EncodeToString([]byte(id))})
			requireField(t, err, "Page.Cursor")
		}
	})
}
