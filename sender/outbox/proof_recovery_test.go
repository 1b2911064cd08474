package outbox_test

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// TestProofRecoveryReal is TestProofRecovery with 300 endpoints, a database and HTTP, and with pauses of the circuit breakers that
// are shorter: half a second at first, 4 s at most.
func TestProofRecoveryReal(t *testing.T) {
	if underRace { // where nothing is measured
		t.Parallel()
	}
	onEach(t, func(t *testing.T, w *world) { // waiting is most of it
		endpoints, backlog := fewer(300), 3
		o := w.start(t, outbox.WithBreaker(outbox.DefaultBreakerThreshold, 500*time.Millisecond, 4*time.Second),
			outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return backoff.NewConstantBackOff(200 * time.Millisecond) }))
		var (
			up    atomic.Bool
			mu    sync.Mutex
			first = map[string]time.Time{} // success of an endpoint
			all   []time.Time              // attempts once they are back
		)
		server := newHook(t, func(_ int, r received) int {
			if !up.Load() {
				return 503
			}
			e, err := payload.DecodeEvent(r.body)
			if err != nil {
				return 400
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, time.Now())
			if _, ok := first[e.App]; !ok {
				first[e.App] = time.Now()
			}
			return 200
		})
		for i := range endpoints {
			create(t, o, endpointAt(fmt.Sprintf("app_%d", i), server.URL))
		}
		for k := range backlog {
			for i := range endpoints {
				e := event(payload.DeployLive, fmt.Sprintf("dep_%d", k))
				e.App = fmt.Sprintf("app_%d", i)
				publish(t, o, e.App, e)
			}
		}
		time.Sleep(5 * time.Second) // the outage
		back := time.Now()
		up.Store(true)
		require.Eventually(t, func() bool { mu.Lock(); defer mu.Unlock(); return len(all) == endpoints*backlog }, patience, 50*time.Millisecond)

		var recovered []time.Duration
		for _, at := range first {
			recovered = append(recovered, at.Sub(back))
		}
		slices.Sort(recovered)
		last := recovered[len(recovered)*9/10]
		counts := make([]int, int(last/time.Second)+1)
		n := 0
		for _, at := range all {
			if d := at.Sub(back); d <= last {
				counts[max(d, 0)/time.Second]++
				n++
			}
		}
		mean := float64(n) / last.Seconds()
		t.Logf("%d endpoints, %d deliveries each; nine tenths were back after %v, all after %v: mean %.1f/s, seconds %v", endpoints, backlog,
			last.Round(time.Millisecond), recovered[len(recovered)-1].Round(time.Millisecond), mean, counts)
		if !underRace { // ten times fewer, whose peaks are chance
			assert.LessOrEqual(t, float64(slices.Max(counts)), 2*mean)
		}
	})
}
