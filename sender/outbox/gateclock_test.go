package outbox

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The wait for a lock or for the database comes before the clock is read.
func TestGate_ReadsItsClockUnderItsLock(t *testing.T) {
	t.Parallel()
	g, _ := testGate(10)
	readings := 0
	g.clock = func() time.Time {
		readings++
		if g.mu.TryLock() {
			t.Error("the clock was read without the lock")
			g.mu.Unlock()
		}
		return time.Now()
	}
	for name, use := range map[string]func(){
		"admit and done": func() {
			p, _ := g.admit(t.Context(), "a", upTo(4), 1)
			require.NotNil(t, p)
			p.done(endpointUp)
		},
		"admit, put back": func() {
			opened(t, g, "b", upTo(4))
			p, _ := g.admit(t.Context(), "b", upTo(4), 1)
			require.Nil(t, p)
		},
		"closed":  func() { g.closed("a", upTo(4), 1) },
		"turns":   func() { g.turns("a", upTo(4)) },
		"mayTrim": func() { g.mayTrim("a", upTo(4)) },
		"kick":    func() { g.kick() },
		"sweep":   func() { g.sweep(laneUnused) },
	} {
		before := readings
		use()
		require.Greater(t, readings, before, name)
	}
}

// A reading that is older than the lane's last change counts as the same moment.
func TestLane_TakesReadingsInAnyOrder(t *testing.T) {
	t.Parallel()
	g, _ := testGate(10)
	opened(t, g, "a", upTo(4))
	l := g.lanes["a"]
	now := time.Now()
	l.close()
	l.window, l.closed, l.since = 4, now, 0
	l.park(7, now.Add(-time.Hour))
	g.backlogs[l] = struct{}{}
	g.clock = func() time.Time { return now.Add(-30 * time.Second) }
	require.Equal(t, []int64{7}, g.kick())
	require.Equal(t, 1, l.allowance(now.Add(-time.Hour)))

	l = newLane("b")
	l.observe(-time.Hour)
	l.observe(-time.Hour)
	require.Positive(t, l.latency)
	l.latency, l.window = math.MaxInt64, 1
	require.Equal(t, time.Duration(math.MaxInt64), l.estimate(now))
	for openings := range 20 {
		require.Positive(t, breakerConfig{1, math.MaxInt64 - 1, math.MaxInt64}.wait(openings))
	}
}
