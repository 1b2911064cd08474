package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// events returns the IDs of the events that a server got, in order.
func (h *hook) events(t testing.TB) (ids []string) {
	t.Helper()
	for _, r := range h.requests() {
		e, err := payload.DecodeEvent(r.body)
		require.NoError(t, err)
		id, ok := e.Extra.Get("event_id")
		require.True(t, ok)
		text, _ := id.Text()
		ids = append(ids, text)
	}
	return ids
}

func missed(t testing.TB, a *outbox.App, endpoint string, since time.Time) int {
	t.Helper()
	c, err := a.Missed(t.Context(), endpoint, since)
	require.NoError(t, err)
	require.False(t, c.More)
	return c.N
}

func TestSendMissed_AfterADisablement(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		a := o.App("shop")
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Events = []string{"deploy.*"}
		e, _ := create(t, a, c)
		begin := time.Now().Add(-time.Hour)
		got := publish(t, a, event(payload.DeployLive, "dep_0"))
		settled(t, o, got.Deliveries[0].ID, outbox.Delivered)
		require.Zero(t, missed(t, a, e.ID, begin))

		require.NoError(t, a.Disable(t.Context(), e.ID, "maintenance"))
		ids := publishNamed(t, a, "gap", 30, payload.DeployLive)
		publishNamed(t, a, "unwanted", 3, "build.completed")
		publishNamed(t, o.App("shop"), "other", 3, "health_check.passed")
		require.Equal(t, 30, missed(t, a, e.ID, begin))
		require.Zero(t, missed(t, a, e.ID, time.Now().Add(time.Minute)))
		_, err := a.SendMissed(t.Context(), e.ID, begin)
		require.ErrorIs(t, err, outbox.ErrEndpointDisabled)

		require.NoError(t, a.Enable(t.Context(), e.ID))
		s, err := a.SendMissed(t.Context(), e.ID, begin, outbox.WithReplayRate(1000))
		require.NoError(t, err)
		require.Equal(t, 30, s.Scheduled)
		require.True(t, s.Complete)
		again, err := a.SendMissed(t.Context(), e.ID, begin)
		require.NoError(t, err)
		require.Zero(t, again.Scheduled, "each event at most once")
		require.Zero(t, missed(t, a, e.ID, begin))
		eventually(t, func() bool {
			s, err = a.ReplayStatus(t.Context(), s.ID)
			require.NoError(t, err)
			return s.Delivered == 30
		}, "not all were delivered")
		require.ElementsMatch(t, append(ids, got.EventID), h.events(t))
	})
}

func TestSendMissed_ToANewEndpoint(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithFormat("echo", echo{}), outbox.WithFormat("silent", silent{}))
		a := o.App("shop")
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		ids := publishNamed(t, a, "early", 5, payload.DeployFailed)
		h := newHook(t, nil)
		for format, want := range map[string]int{"json": 5, "envelope": 5, "echo": 5, "silent": 0} {
			c := endpointAt(h.URL + "/" + format)
			c.BodyFormat = format
			e, _ := create(t, a, c)
			require.Equal(t, 5, missed(t, a, e.ID, time.Time{}))
			s, err := a.SendMissed(t.Context(), e.ID, time.Time{}, outbox.WithReplayRate(1000))
			require.NoError(t, err)
			require.Equal(t, want, s.Scheduled, format)
			require.Equal(t, 5-want, s.Skipped, format)
		}
		eventually(t, func() bool { return h.count() == 15 }, "not all were delivered")
		late := publish(t, a, event(payload.DeployFailed, "dep_9"), outbox.WithEventID(ids[0]+"x"))
		require.Len(t, late.Deliveries, 3)
	})
}

// A filter that was widened makes events missed that it refused before.
func TestMissed_AfterANewFilter(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		c := endpointAt("http://127.0.0.1:1/")
		c.Events = []string{"deploy.live"}
		e, _ := create(t, a, c)
		publishNamed(t, a, "live", 2, payload.DeployLive)
		publishNamed(t, a, "failed", 3, payload.DeployFailed)
		require.Zero(t, missed(t, a, e.ID, time.Time{}))
		all := []string{"deploy.*"}
		_, err := a.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{Events: &all})
		require.NoError(t, err)
		require.Equal(t, 3, missed(t, a, e.ID, time.Time{}))
		require.NoError(t, a.EraseEvent(t.Context(), "failed-001"))
		require.Equal(t, 2, missed(t, a, e.ID, time.Time{}))
		_, err = o.App("blog").Missed(t.Context(), e.ID, time.Time{})
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
		_, err = o.App("blog").SendMissed(t.Context(), e.ID, time.Time{})
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
	})
}

// What was canceled because the endpoint was disabled is missed as well. It is
// sent under the ID that it has.
func TestSendMissed_IncludesWhatWasCanceled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		h := newHook(t, nil)
		e, _ := create(t, a, endpointAt(h.URL))
		first := publish(t, a, event(payload.DeployLive, "dep_1"))
		require.NoError(t, a.Disable(t.Context(), e.ID, "maintenance"))
		publish(t, a, event(payload.DeployLive, "dep_2"))
		require.Equal(t, 2, missed(t, a, e.ID, time.Time{}))
		require.NoError(t, a.Enable(t.Context(), e.ID, outbox.WithMissed(outbox.WithReplayRate(1000))))
		require.Zero(t, missed(t, a, e.ID, time.Time{}))
		w.start(t)
		eventually(t, func() bool { return h.count() == 2 }, "not all were delivered")
		require.Len(t, h.sent(first.Deliveries[0].ID), 1)
	})
}

// One endpoint's missed events are spaced, across batches and after an
// interruption.
func TestSendMissed_IsPaced(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		a := o.App("shop")
		require.NoError(t, o.RegisterApp(t.Context(), "shop"))
		const n = 450
		publishNamed(t, a, "early", n, payload.DeployLive)
		e, _ := create(t, a, endpointAt("http://127.0.0.1:1/"))
		var batches []int
		begin := time.Now()
		s, err := a.SendMissed(t.Context(), e.ID, time.Time{}, outbox.WithReplayRate(10),
			outbox.WithReplayProgress(func(s outbox.ReplayStatus) { batches = append(batches, s.Scheduled) }))
		require.NoError(t, err)
		require.Equal(t, n, s.Scheduled)
		require.Equal(t, []int{200, 400, n}, batches)
		first := w.queryInt(t, "SELECT min(next_at) FROM "+w.table("outbox_delivery"))
		last := w.queryInt(t, "SELECT max(next_at) FROM "+w.table("outbox_delivery"))
		different := w.queryInt(t, "SELECT count(DISTINCT next_at) FROM "+w.table("outbox_delivery"))
		require.EqualValues(t, n, different)
		require.GreaterOrEqual(t, first, begin.UnixMicro())
		require.Equal(t, int64(n-1)*100_000, last-first)
	})
}

// silent is a format without messages.
type silent struct{}

func (silent) Encode(context.Context, *payload.Event) (string, []byte, error) {
	return "", nil, sender.ErrNoMessage
}

// The time since which an endpoint has missed something covers the deliveries
// that waited when it was disabled.
func TestMissedSince(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		e, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"))
		since, err := o.App("shop").MissedSince(t.Context(), e.ID)
		require.NoError(t, err)
		require.Zero(t, since)
		publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		require.NoError(t, o.App("shop").Disable(t.Context(), e.ID, "test"))
		publish(t, o.App("shop"), event(payload.DeployLive, "dep_2"))
		since, err = o.App("shop").MissedSince(t.Context(), e.ID)
		require.NoError(t, err)
		count, err := o.App("shop").Missed(t.Context(), e.ID, since)
		require.NoError(t, err)
		require.Equal(t, outbox.Count{N: 2}, count)
		_, err = o.App("blog").MissedSince(t.Context(), e.ID)
		require.ErrorIs(t, err, outbox.ErrUnknownEndpoint)
	})
}
