package outbox_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// The operator sees the replays of all apps, with their progress.
func TestOperator_Replays(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		var want []string
		for _, app := range []string{"shop", "blog", "shop"} {
			require.NoError(t, o.RegisterApp(t.Context(), app))
			s, err := o.App(app).ReplayRange(t.Context(), outbox.DeliveryFilter{})
			require.NoError(t, err)
			want = append([]string{app + " " + s.ID}, want...)
		}
		var got []string
		for p := (outbox.Page{Limit: 2}); ; {
			page, err := o.Replays(t.Context(), p)
			require.NoError(t, err)
			for _, s := range page.Items {
				require.True(t, s.Complete)
				got = append(got, s.App+" "+s.ID)
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				break
			}
		}
		require.Equal(t, want, got)
		_, err := o.Replays(t.Context(), outbox.Page{Cursor: "nonsense"})
		requireField(t, err, "Page.Cursor")
	})
}

// The operator sees the endpoints of all apps by their state, those that are
// held back, and why they fail.
func TestOperator_Endpoints(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1, time.Hour, time.Hour))
		h := newHook(t, always(503))
		good, _ := create(t, o.App("blog"), endpointAt(newHook(t, nil).URL))
		bad, _ := create(t, o.App("shop"), endpointAt(h.URL))
		off, _ := create(t, o.App("shop"), endpointAt(h.URL+"/off"))
		require.NoError(t, o.App("shop").Disable(t.Context(), off.ID, "abuse"))
		publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		list := func(f outbox.EndpointFilter, p outbox.Page) (ids []string, page outbox.EndpointPage) {
			page, err := o.Endpoints(t.Context(), f, p)
			require.NoError(t, err)
			for _, e := range page.Items {
				ids = append(ids, e.ID)
			}
			return ids, page
		}
		eventually(t, func() bool {
			ids, page := list(outbox.EndpointFilter{Held: true}, outbox.Page{})
			return len(ids) == 1 && page.Items[0].FirstError != ""
		}, "no breaker is open")
		held, page := list(outbox.EndpointFilter{Held: true}, outbox.Page{})
		require.Equal(t, []string{bad.ID}, held)
		require.Equal(t, "shop", page.Items[0].App)
		require.Contains(t, page.Items[0].FirstError, "503")
		disabled, page := list(outbox.EndpointFilter{State: outbox.EndpointDisabled}, outbox.Page{})
		require.Equal(t, []string{off.ID}, disabled)
		require.Equal(t, "abuse", page.Items[0].Reason)
		first, page := list(outbox.EndpointFilter{}, outbox.Page{Limit: 2})
		require.Equal(t, []string{good.ID, bad.ID}, first)
		rest, _ := list(outbox.EndpointFilter{}, outbox.Page{Limit: 2, Cursor: page.Next})
		require.Equal(t, []string{off.ID}, rest)

		_, err := o.Endpoints(t.Context(), outbox.EndpointFilter{State: "weird"}, outbox.Page{})
		requireField(t, err, "EndpointFilter.State")
		_, err = o.Endpoints(t.Context(), outbox.EndpointFilter{Held: true, State: outbox.EndpointFailing}, outbox.Page{})
		requireField(t, err, "EndpointFilter.Held")
	})
}

// Deliveries are found by the class of the last answer, and so are those of a
// replay.
func TestDeliveries_ByAnswer(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1000, time.Second, time.Second))
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Schedule = outbox.ScheduleOnce
		create(t, o.App("shop"), c)
		for _, status := range []int{200, 302, 404, 500} {
			h.set(always(status))
			id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
			settled(t, o, id, map[bool]outbox.State{true: outbox.Delivered, false: outbox.Failed}[status == 200])
		}
		h.Close()
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, id, outbox.Failed)
		for answer, status := range map[outbox.Answer]int{
			outbox.Answer2xx: 200, outbox.Answer3xx: 302, outbox.Answer4xx: 404, outbox.Answer5xx: 500, outbox.AnswerNone: 0,
		} {
			page, err := o.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{Answer: answer}, outbox.Page{})
			require.NoError(t, err)
			require.Len(t, page.Items, 1, answer)
			require.Equal(t, status, page.Items[0].LastStatus)
		}
		_, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{Answer: "404"}, outbox.Page{})
		requireField(t, err, "Answer")
		_, err = o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{Answer: "404"})
		requireField(t, err, "Answer")
		s, err := o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{Answer: outbox.Answer5xx})
		require.NoError(t, err)
		require.Equal(t, 1, s.Scheduled)
		require.Equal(t, outbox.Answer5xx, s.Filter.Answer)
	})
}
