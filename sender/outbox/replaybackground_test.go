package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// failedOnes makes dead letters of an app, whose endpoint is up again
// afterwards.
func failedOnes(t *testing.T, w *world, h *hook, n int) (a *outbox.App, endpoint string) {
	t.Helper()
	o := w.start(t)
	a = o.App("shop")
	c := endpointAt(h.URL)
	c.Schedule = outbox.ScheduleOnce
	e, _ := create(t, a, c)
	h.set(always(503))
	for i := range n {
		id := publish(t, a, event(payload.DeployLive, "dep_"+string(rune('a'+i%26))), outbox.WithEventID("evt_"+string(rune('a'+i)))).Deliveries[0].ID
		settled(t, o, id, outbox.Failed)
	}
	closeSlowly(t, o)
	h.set(always(200))
	w.exec(t, `UPDATE {t} SET breaker_open_until = 0, failing_since = 0, state = 'active'`)
	return w.open(t).App("shop"), e.ID
}

// The call returns before anything is scheduled. Any started process schedules
// what was asked for, and the count was right.
func TestReplay_InTheBackground(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		h := newHook(t, nil)
		a, endpoint := failedOnes(t, w, h, 3)
		count, err := a.CountReplay(t.Context(), outbox.DeliveryFilter{Endpoint: endpoint})
		require.NoError(t, err)
		require.Equal(t, outbox.Count{N: 3}, count)
		s, err := a.ReplayRange(t.Context(), outbox.DeliveryFilter{Endpoint: endpoint}, outbox.WithBackground(), outbox.WithReplayRate(1000))
		require.NoError(t, err)
		require.False(t, s.Complete)
		require.Zero(t, s.Scheduled)

		w.start(t) // another process
		eventually(t, func() bool {
			s, err = a.ReplayStatus(t.Context(), s.ID)
			require.NoError(t, err)
			return s.Complete && s.Delivered == count.N
		}, "it is not scheduled and delivered")
		require.Equal(t, count.N, s.Scheduled)
		count, err = a.CountReplay(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, outbox.Count{}, count)

		// One that begins while the process runs does not wait for the next look.
		created, _ := create(t, a, endpointAt(h.URL+"/new"))
		s, err = a.SendMissed(t.Context(), created.ID, time.Time{}, outbox.WithBackground(), outbox.WithReplayRate(1000))
		require.NoError(t, err)
		require.Zero(t, s.Scheduled)
		eventually(t, func() bool {
			s, err = a.ReplayStatus(t.Context(), s.ID)
			require.NoError(t, err)
			return s.Complete && s.Delivered == 3
		}, "it is not scheduled and delivered")

		_, err = a.ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithBackground(), outbox.WithReplayProgress(func(outbox.ReplayStatus) {}))
		require.ErrorIs(t, err, outbox.ErrInvalid)
	})
}

// What can't be sent is not counted.
func TestCountReplay_LeavesOutWhatCantBeSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		a, endpoint := failedOnes(t, w, newHook(t, nil), 2)
		require.NoError(t, a.EraseEvent(t.Context(), "evt_a"))
		count, err := a.CountReplay(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, outbox.Count{N: 1}, count)
		require.NoError(t, a.Disable(t.Context(), endpoint, "test"))
		count, err = a.CountReplay(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, outbox.Count{}, count)
		_, err = a.CountReplay(t.Context(), outbox.DeliveryFilter{States: []outbox.State{outbox.Pending}})
		require.ErrorIs(t, err, outbox.ErrInvalid)
	})
}

// A replay that was canceled sends nothing more, and a delivery that waited for
// one of it is due.
func TestCancelReplay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		h := newHook(t, nil)
		a, _ := failedOnes(t, w, h, 3)
		sent := h.count()
		const aDay = 1.0 / 86400
		s, err := a.ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithReplayRate(aDay))
		require.NoError(t, err)
		require.Equal(t, 3, s.Pending)
		o := w.start(t, outbox.WithOrdering())
		eventually(t, func() bool { return h.count() == sent+1 }, "the first is not sent")
		later := event(payload.DeployRolledBack, "dep_c") // evt_c waits for days
		later.Timestamp = later.Timestamp.Add(time.Minute)
		blocked := publish(t, a, later).Deliveries[0].ID
		w.blocked(t, o, blocked)

		require.NoError(t, o.App("shop").CancelReplay(t.Context(), s.ID))
		settled(t, o, blocked, outbox.Delivered)
		eventually(t, func() bool {
			s, err = a.ReplayStatus(t.Context(), s.ID)
			require.NoError(t, err)
			return s.Delivered == 1
		}, "the first does not end")
		require.Equal(t, 2, s.Canceled)
		require.Zero(t, s.Pending)
		require.WithinDuration(t, time.Now(), s.CanceledAt, patience)
		require.NoError(t, a.CancelReplay(t.Context(), s.ID))
		require.Equal(t, sent+2, h.count())
	})
}

// Nothing is scheduled after the cancellation, neither in the background nor by
// a caller that resumes it.
func TestCancelReplay_BeforeItIsScheduled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		a, _ := failedOnes(t, w, newHook(t, nil), 2)
		s, err := a.ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithBackground())
		require.NoError(t, err)
		require.NoError(t, a.CancelReplay(t.Context(), s.ID))
		other, err := a.ReplayRange(t.Context(), outbox.DeliveryFilter{EventID: "evt_a"}, outbox.WithBackground())
		require.NoError(t, err)
		w.start(t)
		eventually(t, func() bool {
			other, err = a.ReplayStatus(t.Context(), other.ID)
			require.NoError(t, err)
			return other.Complete
		}, "the other replay is not scheduled")
		s, err = a.ResumeReplay(context.WithoutCancel(t.Context()), s.ID)
		require.NoError(t, err)
		require.Zero(t, s.Scheduled)
		require.False(t, s.Complete)
	})
}

// The count of a large log ends, and says that there is more.
func TestCountReplay_OfALargeLog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"))
		publishMany(t, w, o, 2100, event(payload.DeployLive, "dep_1"))
		require.NoError(t, o.App("shop").Disable(t.Context(), e.ID, "to cancel them"))
		require.NoError(t, o.App("shop").Enable(t.Context(), e.ID))
		count, err := o.App("shop").CountReplay(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, outbox.Count{N: 2000, More: true}, count)
	})
}
