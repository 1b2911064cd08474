package outbox_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// hanger is a server that answers until it is told to hang, and then takes 30 s.
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
	t.Cleanup(func() { close(h.release) }) // before the server is closed, which waits for what it has in hand
	return h
}

func (h *hanger) hang() {
	n := h.inFlight.Add(1)
	defer h.inFlight.Add(-1)
	for old := h.most.Load(); n > old && !h.most.CompareAndSwap(old, n); old = h.most.Load() {
	}
	select {
	case <-h.release:
	case <-time.After(30 * time.Second):
	}
}

// TestProofIsolation publishes 500 events to endpoints that hang for 30 s and 300 to one that answers, in turns, with the default
// settings. The one that answers notices nothing: neither if there is one endpoint that hangs, nor if it answered until then and
// had the more slots for it, nor if there are so many that they could take all slots with one attempt each.
func TestProofIsolation(t *testing.T) {
	for name, c := range map[string]struct {
		endpoints int
		warm      bool
	}{"one that hangs": {1, false}, "one that begins to hang": {1, true}, "more that hang than there are slots": {fewer(outbox.DefaultWorkers * 5 / 4), false}} {
		t.Run(name, func(t *testing.T) {
			oneByOne(t, func(t *testing.T, w *world) { testIsolation(t, w, c.endpoints, c.warm) })
		})
	}
}

func testIsolation(t *testing.T, w *world, endpoints int, warm bool) {
	o := w.start(t, outbox.WithStopTimeout(time.Second), outbox.WithWorkers(fewer(outbox.DefaultWorkers)))
	watch := newStopwatch()
	good := newHook(t, func(_ int, r received) int {
		if e, err := payload.DecodeEvent(r.body); err == nil {
			watch.arrived(e.DeploymentID)
		}
		return 200
	})
	bad := newHanger(t)
	for i := range endpoints {
		create(t, o, outbox.EndpointConfig{App: fmt.Sprintf("bad_%d", i), URL: sender.NewURL(bad.URL), Timeout: 30 * time.Second})
	}
	create(t, o, endpointAt("good", good.URL))
	if warm {
		for range fewer(100) {
			publish(t, o, "bad_0", event(payload.DeployLive, "dep_warm"))
		}
		eventually(t, func() bool { return bad.count() == fewer(100) }, "it does not answer")
	}
	bad.hangs.Store(true)

	slow, fast := fewer(500), fewer(300)
	begin := time.Now()
	for i := range slow + fast {
		id := fmt.Sprintf("dep_%d", i)
		if i*fast%(slow+fast) < fast { // 3 of 8, spread
			watch.published(id)
			publish(t, o, "good", event(payload.DeployLive, id))
			continue
		}
		publish(t, o, fmt.Sprintf("bad_%d", i%endpoints), event(payload.DeployLive, id))
	}
	published := time.Since(begin)
	require.Eventually(t, func() bool { return len(watch.durations()) == fast }, patience, 20*time.Millisecond, "some have not arrived")
	q := quantilesOf(watch.durations())
	t.Logf("%d good ones among %d that hang: %v from publishing; published in %v; at most %d hung at once", fast, slow, q,
		published.Round(time.Millisecond), bad.most.Load())
	assert.Less(t, q.p99, withinASecond())
	assert.Positive(t, bad.most.Load())
	assert.LessOrEqual(t, bad.most.Load(), int64(endpoints*outbox.DefaultMaxConcurrency))
	assert.Less(t, bad.most.Load(), int64(fewer(outbox.DefaultWorkers)))
}
