package outbox_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// hanger is a server that answers until it is told to hang. From then on it
// keeps all requests open until the test ends.
type hanger struct {
	*hook
	hangs          atomic.Bool
	inFlight, most atomic.Int64
	release        chan struct{}
}

func newHanger(t *testing.T) *hanger {
	h := &hanger{release: make(chan struct{})}
	h.hook = newHook(t, func(int, received) int {
		if h.hangs.Load() {
			h.hang()
		}
		return 200
	})
	t.Cleanup(func() { close(h.release) }) // before the server is closed, which waits for its requests
	return h
}

func (h *hanger) hang() {
	n := h.inFlight.Add(1)
	defer h.inFlight.Add(-1)
	for old := h.most.Load(); n > old && !h.most.CompareAndSwap(old, n); old = h.most.Load() {
	}
	<-h.release
}

// TestProofIsolation publishes 300 events to endpoints that hang and 100 to one
// that answers, in turns, with the default settings. All of the 100 arrive
// before any hanging attempt ends, in each of these cases:
//
//   - One endpoint hangs.
//   - It answered before, and therefore has more slots.
//   - So many endpoints hang that one attempt of each could take all slots.
//
// TestProofIsolationInVirtualTime tests how soon they arrive.
func TestProofIsolation(t *testing.T) {
	if !*strict {
		t.Parallel()
	}
	for name, c := range map[string]struct {
		endpoints int
		warm      bool
	}{"one that hangs": {1, false}, "one that begins to hang": {1, true}, "more that hang than there are slots": {fewer(outbox.DefaultWorkers * 5 / 4), false}} {
		t.Run(name, func(t *testing.T) {
			proveOnEach(t, func(t *testing.T, w *world) { testIsolation(t, w, c.endpoints, c.warm) })
		})
	}
}

func testIsolation(t *testing.T, w *world, endpoints int, warm bool) {
	o := w.start(t, outbox.WithStopTimeout(time.Second), outbox.WithWorkers(fewer(outbox.DefaultWorkers)), outbox.WithMaxTimeout(10*time.Minute))
	good, bad := newWatched(t), newHanger(t)
	for i := range endpoints {
		create(t, o.App(fmt.Sprintf("bad_%d", i)), outbox.EndpointConfig{URL: sender.NewURL(bad.URL), Timeout: 10 * time.Minute})
	}
	create(t, o.App("good"), endpointAt(good.URL))
	if warm {
		for range fewer(100) {
			publish(t, o.App("bad_0"), event(payload.DeployLive, "dep_warm"))
		}
		eventually(t, func() bool { return bad.count() == fewer(100) }, "it does not answer")
	}
	slow, fast := fewer(300), fewer(100)
	var alone quantiles
	if *strict {
		slow, fast = 500, 300
		create(t, o.App("other"), endpointAt(newHook(t, nil).URL))
		alone = testInTurns(t, o, good, slow, fast, func(int) string { return "other" })
	}
	bad.hangs.Store(true)
	q := testInTurns(t, o, good, slow, fast, func(k int) string { return fmt.Sprintf("bad_%d", k%endpoints) })
	t.Logf("%d good ones among %d that hang: %v from publishing; at most %d hung at once", fast, slow, q, bad.most.Load())
	assertUndelayed(t, alone, q)
	assert.Positive(t, bad.most.Load())
	assert.LessOrEqual(t, bad.most.Load(), int64(endpoints*outbox.DefaultMaxConcurrency))
	assert.Less(t, bad.most.Load(), int64(fewer(outbox.DefaultWorkers)))
}

// testInTurns publishes to the app with the watched endpoint and to others in
// turns, and waits until the deliveries of the former have arrived.
func testInTurns(t *testing.T, o *outbox.Outbox, good *watched, slow, fast int, other func(k int) string) quantiles {
	good.reset()
	for i, k := 0, 0; i < slow+fast; i++ {
		if i*fast%(slow+fast) < fast { // spread
			good.publish(t, o, "good", fmt.Sprintf("dep_%d", i))
			continue
		}
		publish(t, o.App(other(k)), event(payload.DeployLive, "dep_other"))
		k++
	}
	good.arrived(t, fast)
	return quantilesOf(good.durations())
}
