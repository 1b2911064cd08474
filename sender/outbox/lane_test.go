package outbox

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// opened makes an endpoint's breaker open, and returns until when.
func opened(t *testing.T, g *gate, endpoint string, limits laneLimits) (until time.Time) {
	t.Helper()
	for until.IsZero() {
		p, _ := g.admit(t.Context(), endpoint, limits, 0)
		require.NotNil(t, p)
		until = p.done(endpointDown)
	}
	return until
}

// Attempts that were in flight when the breaker opened neither lengthen the pause nor announce it again.
func TestABreakerOpensOnceForABurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		succeed(t, g, "a", upTo(20), time.Millisecond)
		var burst []*permit
		for range 20 {
			p, _ := g.admit(t.Context(), "a", upTo(20), 1)
			require.NotNil(t, p)
			burst = append(burst, p)
		}
		announced := 0
		for _, p := range burst {
			if !p.done(endpointDown).IsZero() {
				announced++
			}
		}
		require.Equal(t, 1, announced)
		require.Equal(t, 1, g.lanes["a"].openings)
	})
}

// What an attempt under the old configuration finds out, be it a probe, does not touch the new one's breaker.
func TestAnOldAttemptSaysNothingAboutTheNewConfiguration(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		old, changed := upTo(1), laneLimits{cap: 1, version: 2}
		time.Sleep(time.Until(opened(t, g, "a", old)))
		oldProbe, _ := g.admit(t.Context(), "a", old, 1)
		require.True(t, oldProbe.probe)
		hold := g.closed("a", changed, 9)
		require.Zero(t, hold, "the breaker of the old one")
		l := g.lanes["a"]
		require.False(t, l.probing)
		l.openings, l.openUntil, l.probing = 1, time.Now(), true // the new one has opened and is being tried
		require.Zero(t, oldProbe.done(endpointDown))
		require.Zero(t, l.failures)
		require.True(t, l.probing, "it was another's probe")
		l.probing = false
		probe, _ := g.admit(t.Context(), "a", changed, 1)
		require.NotNil(t, probe)
		probe.done(endpointUp)
		require.Zero(t, g.inFlight)
		require.Zero(t, g.suspects)
	})
}

// While a probe is under way, a limited rate gives out no turns.
func TestClosedWhileAProbeIsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		require.Zero(t, g.closed("a", upTo(4), 1))
		until := opened(t, g, "a", upTo(4))
		require.GreaterOrEqual(t, g.closed("a", upTo(4), 1), time.Until(until))
		time.Sleep(time.Until(until))
		require.Zero(t, g.closed("a", upTo(4), 1))
		probe, _ := g.admit(t.Context(), "a", upTo(4), 2)
		require.Positive(t, g.closed("a", upTo(4), 1))
		probe.done(endpointUp)
		require.Zero(t, g.closed("a", upTo(4), 1))
	})
}

// What another process has found out counts for as long as it says, and only where this one knows nothing of its own.
func TestAnotherProcesssBreakerIsNotOurOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		limits := upTo(4)
		limits.holdUntil = time.Now().Add(-time.Second)
		p, _ := g.admit(t.Context(), "over", limits, 1)
		require.NotNil(t, p)
		require.False(t, p.probe, "a hold that is over")
		p.done(endpointUp)

		limits.holdUntil = time.Now().Add(20 * time.Second)
		p, _ = g.admit(t.Context(), "held", limits, 1)
		require.Nil(t, p)
		time.Sleep(20 * time.Second)
		p, _ = g.admit(t.Context(), "held", limits, 1)
		require.NotZero(t, p.done(endpointDown), "one failed probe is enough")

		time.Sleep(time.Until(opened(t, g, "a", upTo(4))))
		probe, _ := g.admit(t.Context(), "a", upTo(4), 1)
		until := probe.done(endpointDown)
		limits.holdUntil = until.Add(20 * time.Second)
		p, _ = g.admit(t.Context(), "a", limits, 1)
		require.Nil(t, p)
		require.Equal(t, until, g.lanes["a"].openUntil)
		require.Equal(t, 2, g.lanes["a"].openings, "the next pause would be as short as the first")
		p, _ = g.admit(t.Context(), "a", upTo(4), 1)
		require.Nil(t, p, "what the database has forgotten, this process has not")
	})
}

// A probe, too, needs a slot; and one that is called back only for it is not called in vain.
func TestAProbeNeedsASlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(2)
		until := opened(t, g, "a", upTo(4))
		p, _ := g.admit(t.Context(), "a", upTo(4), 7) // parked
		require.Nil(t, p)
		time.Sleep(parkedFor)
		require.Empty(t, g.kick(), "before its time")
		hangs, _ := g.admit(t.Context(), "b", upTo(4), 1)
		require.NotNil(t, hangs)
		time.Sleep(time.Until(until) - time.Second)
		require.Empty(t, g.kick(), "before its time")
		time.Sleep(time.Second)
		require.Empty(t, g.kick())
		p, _ = g.admit(t.Context(), "a", upTo(4), 1)
		require.Nil(t, p)
		hangs.done(endpointUp)
		require.Equal(t, []int64{7}, g.kick())
		probe, _ := g.admit(t.Context(), "a", upTo(4), 7)
		require.NotNil(t, probe)
		require.Empty(t, g.kick(), "a probe is under way")
		probe.done(endpointUp)
	})
}

// No endpoint gets more than all slots, and one that is slow or failing never the last eighth.
func TestSlotsHaveAnEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(16)
		succeed(t, g, "good", upTo(40), time.Millisecond)
		succeed(t, g, "slow", upTo(40), slowAfter+time.Second)
		require.Equal(t, suspect, g.lanes["slow"].standing(time.Now()))
		known := upTo(40)
		known.failing = true // the database does not know yet
		p, _ := g.admit(t.Context(), "good", known, 1)
		require.Equal(t, proven, g.lanes["good"].standing(time.Now()))
		p.done(endpointUp)
		for range 14 {
			p, _ := g.admit(t.Context(), "good", upTo(40), 1)
			require.NotNil(t, p)
		}
		p, _ = g.admit(t.Context(), "slow", upTo(40), 1)
		require.Nil(t, p)
		for range 2 {
			p, _ := g.admit(t.Context(), "good", upTo(40), 1)
			require.NotNil(t, p)
		}
		p, _ = g.admit(t.Context(), "good", upTo(40), 1)
		require.Nil(t, p, "more attempts than slots")
	})
}

// A job is called back once, when it has been put back for long enough that River has written it down.
func TestWhatWasPutBackJustNowIsNotCalledBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLane("a")
		begin := time.Now()
		l.park(1, begin)
		require.Empty(t, l.unpark(10, begin.Add(parkedFor-1)))
		delete(l.parked, 1) // it came back by itself
		l.park(1, begin.Add(300*time.Millisecond))
		require.Empty(t, l.unpark(10, begin.Add(parkedFor)))
		require.Equal(t, []int64{1}, l.unpark(10, begin.Add(300*time.Millisecond+parkedFor)))
		require.Empty(t, l.unpark(10, begin.Add(time.Hour)))
		for job := range int64(2 * maxParked) {
			l.park(job, begin)
		}
		require.Len(t, l.parked, maxParked)
		require.Len(t, l.queue, maxParked)
	})
}

func TestLanesThatSaySomethingAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newGate(100, breakerConfig{threshold: 1, base: time.Hour, max: time.Hour}, func([]int64) {})
		opened(t, g, "open", upTo(1))
		held, _ := g.admit(t.Context(), "parked", upTo(1), 1)
		time.Sleep(time.Second) // so that the next does not wait in memory
		p, _ := g.admit(t.Context(), "parked", upTo(1), 2)
		require.Nil(t, p)
		held.done(endpointUnknown)
		time.Sleep(laneUnused + time.Second)
		g.sweep(laneUnused)
		require.Contains(t, g.lanes, "open")
		require.Contains(t, g.lanes, "parked")
	})
}

func TestTurnsAreTrimmedNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		require.True(t, g.mayTrim("a", upTo(1)))
		require.False(t, g.mayTrim("a", upTo(1)))
		time.Sleep(trimEach)
		require.True(t, g.mayTrim("a", upTo(1)))
	})
}

// One slot that becomes free is one waiter's.
func TestOneSlotIsForOneWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		first, _ := g.admit(t.Context(), "a", upTo(1), 1)
		got := make(chan *permit, 2)
		for job := range int64(2) {
			go func() {
				p, _ := g.admit(t.Context(), "a", upTo(1), 2+job)
				got <- p
			}()
		}
		time.Sleep(10 * time.Millisecond)
		first.done(endpointUp)
		require.Equal(t, 1, g.inFlight)
		(<-got).done(endpointUp)
		(<-got).done(endpointUp)
		require.Zero(t, g.inFlight)
	})
}
