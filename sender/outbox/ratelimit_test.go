package outbox_test

import (
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// limitedTo creates an endpoint with a rate limit and publishes events for it.
func limitedTo(t *testing.T, o *outbox.Outbox, url string, rate float64, events int) (e outbox.Endpoint, ids []string) {
	t.Helper()
	c := endpointAt(url)
	c.RateLimit = rate
	e, _ = create(t, o.App("shop"), c)
	for range events {
		ids = append(ids, publish(t, o.App("shop"), event("deploy.canary", "d")).Deliveries[0].ID)
	}
	return e, ids
}

// A rate limit is lifted while deliveries wait for it. All are sent, also if
// the process that has put them to sleep, or the one that has lifted the limit,
// stops before.
func TestRateLimit_LiftedLimitReleasesAll(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %v", restart), func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, w *world) {
				events, none := fewer(600), 0.0
				o, h := w.start(t), newHook(t, nil)
				e, ids := limitedTo(t, o, h.URL, 1.0/3600, events)
				eventually(t, func() bool { return w.asleep(t) == events-1 }, "some are not asleep")
				if restart {
					require.NoError(t, o.Close())
					o = w.open(t) // it does not deliver
				}
				_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &none})
				require.NoError(t, err)
				if restart {
					require.NoError(t, o.Close())
					o = w.start(t)
				}
				for _, id := range ids {
					settled(t, o, id, outbox.Delivered)
				}
				require.Equal(t, events, h.count())
			})
		})
	}
}

// When an endpoint with a rate limit of one attempt in 15 s was not served for
// longer, one delivery is sent at once, and the next one a slot later.
func TestRateLimit_PauseLosesNoSlot(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o, h := w.start(t), newHook(t, nil)
		_, ids := limitedTo(t, o, h.URL, 1.0/15, 20)
		eventually(t, func() bool { return h.count()+w.asleep(t) == len(ids) }, "some are not asleep")
		require.NoError(t, o.Close())
		w.passes(t, 27*time.Second)
		sent, begin := h.count(), time.Now()
		w.start(t)
		eventually(t, func() bool { return h.count() == sent+2 }, "the slots are lost")
		at := h.requests()[sent:]
		t.Logf("the slot that was missed %v after the start, the next one %v after it", at[0].at.Sub(begin), at[1].at.Sub(at[0].at))
		require.Less(t, at[1].at.Sub(begin), 2*time.Minute)
	})
}

// asleep returns how many jobs wait for their time.
func (w *world) asleep(t *testing.T) int {
	t.Helper()
	now := "datetime('now', 'subsec')"
	if w.pool != nil {
		now = "now()"
	}
	return int(w.queryInt(t, "SELECT count(*) FROM "+w.table("river_job")+" WHERE state IN ('available', 'scheduled') AND scheduled_at > "+now))
}

// passes moves the times in the database back, as if time had passed.
func (w *world) passes(t *testing.T, d time.Duration) {
	t.Helper()
	ms := d.Milliseconds()
	w.exec(t, fmt.Sprintf(`UPDATE {t} SET rate_slot_at = rate_slot_at - %d WHERE rate_slot_at > 0`, d.Microseconds()))
	w.exec(t, fmt.Sprintf(`UPDATE %s SET next_at = next_at - %d WHERE next_at > 0`, w.table("outbox_delivery"), d.Microseconds()))
	earlier := fmt.Sprintf("strftime('%%Y-%%m-%%d %%H:%%M:%%f', scheduled_at, '-%.3f seconds')", d.Seconds())
	if w.pool != nil {
		earlier = fmt.Sprintf("scheduled_at - interval '%d milliseconds'", ms)
	}
	w.exec(t, "UPDATE "+w.table("river_job")+" SET scheduled_at = "+earlier+" WHERE state IN ('scheduled', 'available')")
}

// The rate limit of an endpoint holds for all processes together, after a slow
// answer, after restarts and changes of the rate, and when a clock is set back.
func TestRateLimit_NeverExceeded(t *testing.T) {
	t.Parallel()
	const rate = 20
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		other := w.start(t)
		begun := make(chan struct{}, 1)
		slow := make(chan struct{})
		h := newHook(t, func(n int, _ received) int {
			if n == 1 {
				begun <- struct{}{}
				<-slow
			}
			return 200
		})
		c := endpointAt(h.URL)
		c.RateLimit = rate
		e, _ := create(t, o.App("shop"), c)
		n := fewer(200)
		for range n {
			publish(t, o.App("shop"), event(payload.DeployLive, "d"))
		}
		<-begun
		reach := func(share int) {
			eventually(t, func() bool { return h.count() >= n*share/10 }, "too few are sent")
		}
		reach(1)
		close(slow)
		reach(3)
		require.NoError(t, other.Close()) // restart of one
		other = w.start(t)
		reach(5)
		require.NoError(t, o.Close()) // restart of all
		require.NoError(t, other.Close())
		o, _ = w.start(t), w.start(t)
		reach(6)
		for _, r := range []float64{rate / 2, rate} {
			_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &r})
			require.NoError(t, err)
		}
		reach(7)
		w.exec(t, fmt.Sprintf(`UPDATE {t} SET rate_slot_at = rate_slot_at + %d`, time.Hour.Microseconds()))
		reach(8)
		require.NoError(t, o.App("shop").Disable(t.Context(), e.ID, "to enable it"))
		require.NoError(t, o.App("shop").Enable(t.Context(), e.ID))
		for range n / 5 {
			publish(t, o.App("shop"), event(payload.DeployLive, "d"))
		}
		reach(10)
		noneWaits(t, o)
		at := w.attemptTimes(t)
		most := busiestSecond(at)
		t.Logf("%d attempts in %v, at most %d in one second", len(at), at[len(at)-1].Sub(at[0]).Round(time.Millisecond), most)
		if *strict {
			require.LessOrEqual(t, most, rate+1)
		}
	})
}

// attemptTimes returns when all attempts began, in order.
func (w *world) attemptTimes(t *testing.T) (at []time.Time) {
	t.Helper()
	for _, text := range w.queryTexts(t, "SELECT CAST(started_at AS text) FROM "+w.table("outbox_attempt")+" ORDER BY started_at") {
		n, err := strconv.ParseInt(text, 10, 64)
		require.NoError(t, err)
		at = append(at, time.UnixMicro(n))
	}
	return at
}

// busiestSecond returns the largest number of times in any second.
func busiestSecond(at []time.Time) (most int) {
	for first, last := 0, 0; last < len(at); last++ {
		for at[last].Sub(at[first]) >= time.Second {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}
