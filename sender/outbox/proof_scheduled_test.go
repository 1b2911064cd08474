package outbox_test

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// scheduledWait is the schedule of TestProofScheduled: retries without end, each some time between base and one and a half times that
// after the one before.
type scheduledWait struct{ base time.Duration }

func (s scheduledWait) Reset() {}

func (s scheduledWait) NextBackOff() time.Duration { return s.base + rand.N(s.base/2) }

// TestProofScheduled lets retries wait, 100,000 with -outbox.scheduled=100000, all of which have had an attempt that failed. It shows
// what they take of memory and disk, that a new event is delivered within a second all the same, and that they come back
// as they are due and not all at once.
func TestProofScheduled(t *testing.T) {
	run := oneByOne
	if *scheduledCount <= 500 { // most of it is waiting
		t.Parallel()
		run = onEach
	}
	run(t, func(t *testing.T, w *world) {
		n := *scheduledCount
		// Long enough that none is due before the last has failed, unless the machine has other work to do.
		base := 5*time.Second + time.Duration(n)*3*time.Millisecond
		var failing atomic.Bool
		failing.Store(true)
		bad := newTally(t, func() int {
			if failing.Load() {
				return 503
			}
			return 200
		})
		disk := w.diskBytes(t)
		opts := []outbox.Option{
			outbox.WithBreaker(1_000_000, time.Second, time.Second), outbox.WithMaxConcurrency(50),
			outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return scheduledWait{base} }),
		}
		o := w.open(t, opts...)
		for i := range outbox.DefaultMaxEndpoints { // one that fails gets one attempt at a time
			create(t, o, endpointAt("shop", fmt.Sprintf("%s/%d", bad.URL, i)))
		}
		publishMany(t, w, o, n/outbox.DefaultMaxEndpoints, benchEvent())
		runtime.GC()
		heap, resident := heapBytes(), residentBytes()
		begin := time.Now()
		require.NoError(t, o.Start(t.Context()))
		waiting := "SELECT count(*) FROM " + w.table("outbox_delivery") + " WHERE state = 'pending' AND attempts > 0"
		require.Eventually(t, func() bool { return bad.n.Load() >= int64(n) && w.queryInt(t, waiting) == int64(n) }, base+3*patience, 20*time.Millisecond)
		t.Logf("%d first attempts in %v, the first retry is due %v after the first of them", n, time.Since(begin).Round(10*time.Millisecond), base)
		testNewOnes(t, o)
		runtime.GC()
		t.Logf("%d wait: heap %s more, resident %s (%s more), disk %s", n, mib(heapBytes()-heap), mib(residentBytes()), mib(residentBytes()-resident),
			mib(w.diskBytes(t)-disk))
		testSpread(t, w, n, base)
		if base > time.Minute {
			return // the way back is shown by fewer
		}
		failing.Store(false)
		bad.reset()
		require.Eventually(t, func() bool { return bad.n.Load() >= int64(n) }, 2*base+3*patience, 20*time.Millisecond)
		counts := bad.perSecond()
		t.Logf("they came back in %d s: %v", len(counts), counts)
		if !underRace {
			assert.LessOrEqual(t, slices.Max(counts), 2*n/int((base/2).Seconds())+20)
		}
	})
}

// testNewOnes publishes to another endpoint.
func testNewOnes(t *testing.T, o *outbox.Outbox) {
	watch := newStopwatch()
	good := newHook(t, func(_ int, r received) int {
		if e, err := payload.DecodeEvent(r.body); err == nil {
			watch.arrived(e.DeploymentID)
		}
		return 200
	})
	create(t, o, endpointAt("good", good.URL))
	const n = 20
	for i := range n {
		id := fmt.Sprintf("dep_%d", i)
		watch.published(id)
		publish(t, o, "good", event(payload.DeployLive, id))
		eventually(t, func() bool { return len(watch.durations()) == i+1 }, "a new one does not arrive")
	}
	q := quantilesOf(watch.durations())
	t.Logf("%d new ones, one after the other: %v", n, q)
	assert.Less(t, q.p99, withinASecond())
}

// testSpread looks at when the retries are due.
func testSpread(t *testing.T, w *world, n int, base time.Duration) {
	seconds := w.queryInt(t, "SELECT count(DISTINCT next_at / 1000000) FROM "+w.table("outbox_delivery")+" WHERE state = 'pending'")
	most := w.queryInt(t, "SELECT max(n) FROM (SELECT count(*) AS n FROM "+w.table("outbox_delivery")+
		" WHERE state = 'pending' GROUP BY next_at / 1000000) AS counts")
	t.Logf("they are due in %d different seconds, %d at most in one of them", seconds, most)
	assert.GreaterOrEqual(t, seconds, int64((base / 2).Seconds()))
	assert.LessOrEqual(t, most, int64(3*float64(n)/(base/2).Seconds()+20))
}

// tally is a server that only counts, and keeps nothing of what it gets.
type tally struct {
	*httptest.Server
	n  atomic.Int64
	at [3600]atomic.Int64
	t0 atomic.Pointer[time.Time]
}

func newTally(t *testing.T, answer func() int) *tally {
	c := &tally{}
	c.reset()
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		c.n.Add(1)
		c.at[min(int(time.Since(*c.t0.Load()).Seconds()), len(c.at)-1)].Add(1)
		w.WriteHeader(answer())
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *tally) reset() {
	now := time.Now()
	c.t0.Store(&now)
	c.n.Store(0)
	for i := range c.at {
		c.at[i].Store(0)
	}
}

// perSecond is how many came in each second since reset, from the first that had any to the last.
func (c *tally) perSecond() (counts []int) {
	var gap int
	for i := range c.at {
		n := int(c.at[i].Load())
		if n == 0 {
			gap++
			continue
		}
		if counts != nil {
			counts = append(counts, make([]int, gap)...)
		}
		counts, gap = append(counts, n), 0
	}
	return counts
}
