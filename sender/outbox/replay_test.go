package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// dead makes n dead letters and returns their IDs, oldest first.
func dead(t testing.TB, o *outbox.Outbox, h *hook, app string, n int) (ids []string) {
	t.Helper()
	h.set(always(500))
	for range n {
		ids = append(ids, publish(t, o.App(app), event(payload.DeployLive, "dep_1")).Deliveries[0].ID)
	}
	for _, id := range ids {
		settled(t, o, id, outbox.Failed)
	}
	h.set(nil)
	return ids
}

// dueTimes returns the times at which the deliveries of a replay that had no
// attempt yet are due, in ascending order.
func dueTimes(t testing.TB, o *outbox.Outbox, replay string) (due []time.Time) {
	t.Helper()
	list, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{Replay: replay}, outbox.Page{})
	require.NoError(t, err)
	for _, d := range list.Items {
		due = append(due, d.NextAt)
	}
	slices.SortFunc(due, time.Time.Compare)
	return due
}

// early is how long before its time the outbox may make a retry.
const early = 100 * time.Millisecond

func TestAReplayedRangeIsPacedAndShowsItsProgress(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1000, time.Second, time.Second))
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Schedule = outbox.ScheduleOnce
		e, _ := create(t, o.App("shop"), c)
		ids := dead(t, o, h, "shop", 12)
		before := h.count()
		require.NoError(t, o.Stop(t.Context())) // so that all times can be seen

		var steps []outbox.ReplayStatus
		s, err := o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{Endpoint: e.ID, Type: payload.DeployLive},
			outbox.WithReplayRate(4), outbox.WithReplayProgress(func(s outbox.ReplayStatus) { steps = append(steps, s) }))
		require.NoError(t, err)
		require.True(t, s.Complete)
		require.Equal(t, 12, s.Scheduled)
		require.Equal(t, s.ID, steps[0].ID)
		due := dueTimes(t, o, s.ID)
		o = w.start(t)
		for _, id := range ids {
			require.Equal(t, 1, settled(t, o, id, outbox.Delivered).Replays)
		}
		s, err = o.App("shop").ReplayStatus(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, 12, s.Delivered)
		require.Zero(t, s.Pending)
		list, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{Replay: s.ID}, outbox.Page{})
		require.NoError(t, err)
		require.Len(t, list.Items, 12)
		got := h.requests()[before:]
		require.Len(t, got, 12)
		require.GreaterOrEqual(t, due[11].Sub(due[0]), 11*time.Second/4)
		require.False(t, got[11].at.Before(due[11].Add(-early)), "flooded")

		again, err := o.App("shop").ResumeReplay(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, 12, again.Scheduled, "scheduled twice")
		_, err = o.App("shop").ResumeReplay(t.Context(), "rpl_unknown")
		require.ErrorIs(t, err, outbox.ErrUnknownReplay)
		_, err = o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{States: []outbox.State{outbox.Pending}})
		requireField(t, err, "States")
		_, err = o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithReplayRate(0))
		requireField(t, err, "WithReplayRate")
	})
}

// The rate applies from the first delivery on.
func TestAReplayIsPacedFromItsBeginning(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1000, time.Second, time.Second))
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Schedule = outbox.ScheduleOnce
		create(t, o.App("shop"), c)
		const n, each = 9, time.Second / 4
		ids := dead(t, o, h, "shop", n)
		before := h.count()
		require.NoError(t, o.Stop(t.Context())) // so that all times can be seen
		begin := time.Now()
		s, err := o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithReplayRate(float64(time.Second/each)))
		require.NoError(t, err)
		end := time.Now()
		due := dueTimes(t, o, s.ID)
		require.Len(t, due, n)
		require.WithinRange(t, due[0], begin.Add(-time.Microsecond), end)
		for i, at := range due {
			require.Equal(t, time.Duration(i)*each, at.Sub(due[0]))
		}
		o = w.start(t)
		for _, id := range ids {
			settled(t, o, id, outbox.Delivered)
		}
		got := h.requests()[before:]
		require.Len(t, got, n)
		for i, r := range got { // the i-th comes no earlier than its time, whichever it is
			require.False(t, r.at.Before(due[i].Add(-early)), "%d came %v early", i, due[i].Sub(r.at))
		}
	})
}

func TestAnInterruptedReplayGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		h := newHook(t, nil)
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		const n = 450 // three batches
		publishMany(t, w, o, n, event(payload.DeployLive, "dep_1"))
		require.NoError(t, o.App("shop").Disable(t.Context(), e.ID, "to cancel them"))
		require.NoError(t, o.App("shop").Enable(t.Context(), e.ID))
		ctx, stop := context.WithCancel(t.Context())
		var once sync.Once
		var id string
		_, err := o.App("shop").ReplayRange(ctx, outbox.DeliveryFilter{}, outbox.WithReplayRate(10_000),
			outbox.WithReplayProgress(func(s outbox.ReplayStatus) { once.Do(func() { id = s.ID; stop() }) }))
		require.True(t, errors.Is(err, context.Canceled), err)
		s, err := o.App("shop").ReplayStatus(t.Context(), id)
		require.NoError(t, err)
		require.False(t, s.Complete)
		require.Equal(t, 200, s.Scheduled)
		unfinished, err := w.open(t).App("shop").Replays(t.Context(), outbox.Page{}) // what another process sees
		require.NoError(t, err)
		require.Equal(t, []outbox.ReplayStatus{s}, unfinished.Items)
		require.Equal(t, []outbox.State{outbox.Failed, outbox.Canceled}, s.Filter.States)
		s, err = w.open(t).App("shop").ResumeReplay(t.Context(), id)
		require.NoError(t, err)
		require.True(t, s.Complete)
		require.Equal(t, n, s.Scheduled)
		require.Equal(t, n, s.Pending)
	})
}

func TestReplaysAreListedAndForgotten(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithRetention(24*time.Hour, 0), outbox.WithDeadRetention(24*time.Hour))
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.Schedule = outbox.ScheduleOnce
		create(t, o.App("shop"), c)
		dead(t, o, h, "shop", 3)
		var want []string
		for i := range 5 { // the first takes all three, the others find nothing
			s, err := o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{}, outbox.WithReplayRate(1000))
			require.NoError(t, err)
			require.Equal(t, i == 0, s.Scheduled == 3)
			want = append([]string{s.ID}, want...)
		}
		var got []string
		for p := (outbox.Page{Limit: 2}); ; {
			page, err := o.App("shop").Replays(t.Context(), p)
			require.NoError(t, err)
			for _, s := range page.Items {
				got = append(got, s.ID)
				require.Equal(t, s.Scheduled, s.Pending+s.Delivered)
			}
			if p.Cursor = page.Next; p.Cursor == "" {
				break
			}
		}
		require.Equal(t, want, got)
		deliveries, err := o.Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{Limit: 1})
		require.NoError(t, err)
		_, err = o.App("shop").Replays(t.Context(), outbox.Page{Cursor: deliveries.Next})
		requireField(t, err, "Page.Cursor")

		for _, d := range []string{"first", "second"} { // what it scheduled is younger than the replay
			w.exec(t, `UPDATE `+w.table("outbox_replay")+` SET created_at = created_at - 90000000000`)
			_, err = o.Prune(t.Context())
			require.NoError(t, err)
			page, err := o.App("shop").Replays(t.Context(), outbox.Page{})
			require.NoError(t, err)
			require.Len(t, page.Items, 1, d)
			require.Equal(t, want[4], page.Items[0].ID)
		}
		eventually(t, func() bool {
			s, err := o.App("shop").ReplayStatus(context.Background(), want[4])
			return err == nil && s.Delivered == 3
		}, "not delivered")
		w.age(t, 25*time.Hour)
		_, err = o.Prune(t.Context())
		require.NoError(t, err)
		_, err = o.App("shop").ReplayStatus(t.Context(), want[4])
		require.ErrorIs(t, err, outbox.ErrUnknownReplay)
	})
}

// A waiting retry is made at once, and only once.
func TestReplay_PendingIsDueNow(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSchedule(outbox.SchedulePlatform, hourly))
		h := newHook(t, always(500))
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		eventually(t, func() bool {
			d, err := o.App("shop").Delivery(context.Background(), id)
			require.NoError(t, err)
			return d.Attempts == 1 && d.State == outbox.Pending
		}, "no attempt")
		d, err := o.App("shop").Delivery(t.Context(), id)
		require.NoError(t, err)
		require.Greater(t, time.Until(d.NextAt), 50*time.Minute)
		h.set(nil)
		require.NoError(t, o.App("shop").Replay(t.Context(), id))
		d = settled(t, o, id, outbox.Delivered)
		require.Equal(t, 2, d.Attempts)
		require.Equal(t, 2, h.count())
	})
}

// A replay gives the delivery a new job. The job of the earlier retry finds
// that the delivery no longer belongs to it.
func TestAnOvertakenJobMakesNoAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSchedule(outbox.SchedulePlatform, hourly))
		h := newHook(t, always(500))
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		attempted := func(n int) {
			eventually(t, func() bool {
				d, err := o.App("shop").Delivery(context.Background(), id)
				require.NoError(t, err)
				return d.Attempts >= n && d.State == outbox.Pending
			}, "no attempt")
		}
		attempted(1)
		jobs := w.table("outbox_job")
		job := w.queryInt(t, "SELECT max(id) FROM "+jobs)
		require.NoError(t, o.App("shop").Replay(t.Context(), id))
		attempted(2)
		// The hour until the retry is over. The queue may record only later that the
		// job waits.
		eventually(t, func() bool {
			w.exec(t, fmt.Sprintf("UPDATE %s SET run_at = 0 WHERE id = %d AND claimed_until = 0", jobs, job))
			return h.count() > 2 || w.queryInt(t, fmt.Sprintf("SELECT count(*) FROM %s WHERE id = %d", jobs, job)) == 0
		}, "the retry's job has not run")
		require.Equal(t, 2, h.count())
	})
}

func TestATestIsReplayedOnlyIfAskedFor(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, always(500))
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		_, _, err := o.App("shop").TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		h.set(nil)
		s, err := o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{})
		require.NoError(t, err)
		require.Zero(t, s.Scheduled)
		s, err = o.App("shop").ReplayRange(t.Context(), outbox.DeliveryFilter{Type: outbox.EventTest})
		require.NoError(t, err)
		require.Equal(t, 1, s.Scheduled)
	})
}
