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

// TestProofRateLimit makes 20 attempts a second with two processes. In no
// second there may be more than 21, also after a slow answer, a restart of one
// or of all processes, changes of the rate, and when a clock is set back.
func TestProofRateLimit(t *testing.T) {
	const rate = 20
	proveOnEach(t, func(t *testing.T, w *world) {
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
