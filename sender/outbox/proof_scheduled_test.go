package outbox_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
)

// scheduledWait is the schedule of TestProofScheduled. It never ends. Each
// retry comes between base and one and a half times base after the previous
// one.
type scheduledWait struct{ base time.Duration }

func (s scheduledWait) Reset() {}

func (s scheduledWait) NextBackOff() time.Duration { return s.base + rand.N(s.base/2) }

// TestProofScheduled lets retries wait after a failed attempt, 100,000 of them
// with -outbox.scheduled=100000. It reports their memory and disk space, and
// with -outbox.strict it holds the heap to 64 MiB. It checks that new events
// are still delivered and that the retries are due at different times.
func TestProofScheduled(t *testing.T) {
	proveOnEach(t, func(t *testing.T, w *world) {
		n := given(*scheduledCount, 500)
		const base = time.Hour
		bad := newTally(t, func() int { return 503 })
		disk := w.diskBytes(t)
		opts := []outbox.Option{
			outbox.WithBreaker(1_000_000, time.Second, time.Second), outbox.WithMaxConcurrency(50),
			outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return scheduledWait{base} }),
		}
		o := w.open(t, opts...)
		for i := range outbox.DefaultMaxEndpoints { // one that fails gets one attempt at a time
			create(t, o.App("shop"), endpointAt(fmt.Sprintf("%s/%d", bad.URL, i)))
		}
		good := newWatched(t)
		create(t, o.App("good"), endpointAt(good.URL))
		heap, resident := heapInUse(), residentBytes()
		require.NoError(t, o.Start(t.Context()))
		alone := testNewOnes(t, o, good)
		begin := time.Now()
		publishMany(t, w, o, n/outbox.DefaultMaxEndpoints, benchEvent())
		waiting := "SELECT count(*) FROM " + w.table("outbox_delivery") + " WHERE state = 'pending' AND attempts > 0"
		eventually(t, func() bool { return bad.n.Load() >= int64(n) && w.queryInt(t, waiting) == int64(n) }, "some are not attempted")
		t.Logf("%d first attempts in %v, the first retry is due %v after the first of them", n, time.Since(begin).Round(10*time.Millisecond), base)
		beside := testNewOnes(t, o, good)
		t.Logf("new ones, one after the other: %v; alone %v", beside, alone)
		assertUndelayed(t, alone, beside)
		all := heapInUse()
		t.Logf("%d wait: heap %s more, resident %s (%s more), disk %s", n, mib(all-heap), mib(residentBytes()), mib(residentBytes()-resident),
			mib(w.diskBytes(t)-disk))
		if *strict {
			require.LessOrEqual(t, all, int64(64<<20), "heap")
		}
		require.EqualValues(t, n, bad.n.Load(), "some were attempted before their time")
		testSpread(t, w, n, base)
	})
}

// testNewOnes publishes to another endpoint, each event after the previous one
// has arrived.
func testNewOnes(t *testing.T, o *outbox.Outbox, good *watched) quantiles {
	good.reset()
	for i := range 20 {
		good.publish(t, o, "good", fmt.Sprintf("dep_%d", i))
		good.arrived(t, i+1)
	}
	return quantilesOf(good.durations())
}

// TestProofScheduledReturn checks that no retry comes before its time and that
// their times are spread.
func TestProofScheduledReturn(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		const (
			n    = 100
			base = 2 * time.Second
		)
		bad := newHook(t, always(503))
		o := w.start(t, outbox.WithBreaker(1_000_000, time.Second, time.Second), outbox.WithMaxConcurrency(50),
			outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return scheduledWait{base} }))
		for i := range outbox.DefaultMaxEndpoints {
			create(t, o.App("shop"), endpointAt(fmt.Sprintf("%s/%d", bad.URL, i)))
		}
		publishMany(t, w, o, n/outbox.DefaultMaxEndpoints, benchEvent())
		untried := "SELECT count(*) FROM " + w.table("outbox_delivery") + " WHERE attempts = 0"
		eventually(t, func() bool { return w.queryInt(t, untried) == 0 }, "some are not attempted")
		retries, err := o.App("shop").Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{Limit: n})
		require.NoError(t, err)
		bad.set(nil)
		tenths := map[int64]int{}
		for _, d := range retries.Items {
			settled(t, o, d.ID, outbox.Delivered)
			sent := bad.sent(d.ID)
			at := sent[len(sent)-1].at
			require.False(t, at.Before(d.NextAt.Add(-early)), "%v before its time", d.NextAt.Sub(at))
			tenths[d.NextAt.UnixMilli()/(base/20).Milliseconds()]++
		}
		for _, count := range tenths {
			require.LessOrEqual(t, count, n/2, "%v", tenths)
		}
	})
}

// testSpread checks when the retries are due. Their times are spread over half
// of base.
func testSpread(t *testing.T, w *world, n int, base time.Duration) {
	seconds := w.queryInt(t, "SELECT count(DISTINCT next_at / 1000000) FROM "+w.table("outbox_delivery")+" WHERE state = 'pending'")
	most := w.queryInt(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM "+w.table("outbox_delivery")+
		" WHERE state = 'pending' GROUP BY next_at / 1000000) AS counts")
	t.Logf("they are due in %d different seconds, %d at most in one of them", seconds, most)
	assert.GreaterOrEqual(t, seconds, min(int64(n), int64((base/2).Seconds()))/2)
	assert.LessOrEqual(t, most, int64(3*float64(n)/(base/2).Seconds()+20))
}

// tally is a server that only counts requests and keeps nothing of them.
type tally struct {
	*httptest.Server
	n atomic.Int64
}

func newTally(t *testing.T, answer func() int) *tally {
	c := &tally{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c.n.Add(1)
		w.WriteHeader(answer())
	}))
	t.Cleanup(c.Close)
	return c
}
