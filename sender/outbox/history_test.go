package outbox_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// Deliveries are counted by the time of their publication, for endpoints of the
// app and for all.
func TestHistory(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		begin := time.Now().Add(-time.Second)
		o := w.start(t, outbox.WithBreaker(1000, time.Second, time.Second))
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Schedule = outbox.ScheduleOnce
		e, _ := create(t, o.App("shop"), c)
		other, _ := create(t, o.App("blog"), endpointAt(newHook(t, nil).URL))
		dead(t, o, h, "shop", 3)
		for range 2 {
			settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID, outbox.Delivered)
		}
		settled(t, o, publish(t, o.App("blog"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID, outbox.Delivered)

		span := outbox.HistorySpan{From: begin.Add(-2 * time.Hour), Step: time.Hour, Slots: 4}
		got, err := o.App("shop").History(t.Context(), []string{e.ID, other.ID, "ep_none", "\x00"}, span)
		require.NoError(t, err)
		require.Len(t, got, 1)
		require.Equal(t, outbox.Count{}, got[e.ID][1].States[outbox.Failed])
		require.Equal(t, begin, got[e.ID][2].From)
		require.Equal(t, outbox.Count{N: 3}, got[e.ID][2].States[outbox.Failed])
		require.Equal(t, outbox.Count{N: 2}, got[e.ID][2].States[outbox.Delivered])
		span.Most = 2
		got, err = o.App("shop").History(t.Context(), []string{e.ID}, span)
		require.NoError(t, err)
		require.Equal(t, outbox.Count{N: 2, More: true}, got[e.ID][2].States[outbox.Failed])

		span.Most = 0
		all, err := o.History(t.Context(), span)
		require.NoError(t, err)
		require.Len(t, all, 4)
		require.Equal(t, map[outbox.State]outbox.Count{outbox.Pending: {}, outbox.Failed: {N: 3}, outbox.Delivered: {N: 3}}, all[2].States)
		require.Equal(t, map[outbox.State]outbox.Count{outbox.Pending: {}, outbox.Failed: {}, outbox.Delivered: {}}, all[0].States)

		for field, wrong := range map[string]outbox.HistorySpan{
			"HistorySpan.Slots": {From: begin, Step: time.Hour}, "HistorySpan.Step": {From: begin, Slots: 1},
			"HistorySpan.Most": {From: begin, Slots: 1, Step: time.Hour, Most: 1_000_000}, "HistorySpan.From": {Slots: 1, Step: time.Hour},
		} {
			_, err = o.History(t.Context(), wrong)
			requireField(t, err, field)
		}
		_, err = o.History(t.Context(), outbox.HistorySpan{From: begin, Slots: 100, Step: math.MaxInt64 / 2})
		requireField(t, err, "HistorySpan.Step")
		_, err = o.App("shop").History(t.Context(), make([]string, 51), span)
		requireField(t, err, "endpoints")
	})
}
