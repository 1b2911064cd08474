package outbox

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var testBreaker = breakerConfig{threshold: 5, base: 10 * time.Second, max: time.Minute}

func testGate(slots int) (*gate, *[]int64) {
	var called []int64
	return newGate(slots, testBreaker, func(jobs []int64) { called = append(called, jobs...) }), &called
}

func upTo(n int) laneLimits { return laneLimits{cap: n} }

// succeed makes an endpoint proven, with the widest window.
func succeed(t *testing.T, g *gate, endpoint string, limits laneLimits, took time.Duration) {
	t.Helper()
	for range limits.cap + 1 {
		p, _ := g.admit(t.Context(), endpoint, limits, 0)
		require.NotNil(t, p)
		time.Sleep(took)
		p.done(endpointUp)
	}
}

func TestTheWindowOpensWithSuccessAndNeverBeyondTheCap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		p, _ := g.admit(t.Context(), "a", upTo(3), 1)
		require.NotNil(t, p)
		second, hold := g.admit(t.Context(), "a", upTo(3), 2) // waits for its 100 ms first
		require.Nil(t, second)
		require.Positive(t, hold)
		p.done(endpointUp)
		succeed(t, g, "a", upTo(3), time.Millisecond)
		var held []*permit
		for range 3 {
			p, _ := g.admit(t.Context(), "a", upTo(3), 1)
			require.NotNil(t, p)
			held = append(held, p)
		}
		p, _ = g.admit(t.Context(), "a", upTo(3), 1)
		require.Nil(t, p, "a fourth attempt was let through")
		for _, p := range held {
			p.done(endpointUp)
		}
		p, _ = g.admit(t.Context(), "a", upTo(1), 1)
		require.NotNil(t, p)
		q, _ := g.admit(t.Context(), "a", upTo(1), 1)
		require.Nil(t, q, "the new cap was not heeded")
		p.done(endpointUp)
		require.Zero(t, g.inFlight)
		require.Zero(t, g.suspects)
	})
}

func TestAWaitingJobGetsTheNextSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		first, _ := g.admit(t.Context(), "a", upTo(1), 1)
		got := make(chan *permit)
		go func() {
			p, _ := g.admit(context.Background(), "a", upTo(1), 2)
			got <- p
		}()
		time.Sleep(50 * time.Millisecond)
		first.done(endpointUp)
		p := <-got
		require.NotNil(t, p)
		require.Equal(t, 50*time.Millisecond, time.Since(first.start))
		p.done(endpointUp)
		require.Zero(t, g.inFlight)
	})
}

// A burst for an endpoint of which nothing is known is not put back when it answers quickly: its window will soon be open.
func TestABurstForANewEndpointIsNotPutBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct{ cap, burst int }{{200, 1000}, {10, 300}, {1, 40}} {
			g, _ := testGate(300)
			endpoint := upTo(c.cap)
			var wg sync.WaitGroup
			for job := range int64(c.burst) {
				wg.Go(func() {
					p, hold := g.admit(t.Context(), "new", endpoint, job)
					if p == nil {
						t.Errorf("cap %d: job %d was put back for %v", c.cap, job, hold)
						return
					}
					time.Sleep(2 * time.Millisecond)
					p.done(endpointUp)
				})
				time.Sleep(10 * time.Microsecond) // they are read one after another
			}
			wg.Wait()
		}
	})
}

// The heart of isolation: endpoints that hang or that nothing is known of can't take the slots that proven ones need.
func TestSlotsAreLeftForEndpointsThatAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(16)
		succeed(t, g, "good", upTo(4), time.Millisecond)
		var hanging int
		for i := range 40 {
			if p, _ := g.admit(t.Context(), "new "+strconv.Itoa(i), upTo(10), 1); p != nil {
				hanging++
			}
		}
		require.Equal(t, 14, hanging, "seven eighths")
		for range 2 {
			p, _ := g.admit(t.Context(), "good", upTo(4), 1)
			require.NotNil(t, p)
		}

		g, _ = testGate(16)
		succeed(t, g, "good", upTo(4), time.Millisecond)
		hanging = 0
		for i := range 40 {
			limits := upTo(10)
			limits.failing = true // the database remembers
			if p, _ := g.admit(t.Context(), "bad "+strconv.Itoa(i), limits, 1); p != nil {
				hanging++
			}
		}
		require.Equal(t, 8, hanging, "half")
	})
}

func TestAProvenEndpointThatHangsBecomesSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		succeed(t, g, "a", upTo(4), time.Millisecond)
		l := g.lanes["a"]
		require.Equal(t, proven, l.standing(time.Now()))
		p, _ := g.admit(t.Context(), "a", upTo(4), 1)
		time.Sleep(slowAfter + time.Millisecond)
		require.Equal(t, suspect, l.standing(time.Now()))
		p.done(endpointDown)
		require.Equal(t, suspect, l.standing(time.Now()))
		require.Equal(t, 2, l.window, "halved")
	})
}

func TestTheBreakerOpensAndLetsSingleProbesThrough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, called := testGate(100)
		succeed(t, g, "a", upTo(4), time.Millisecond)
		var opened time.Time
		for i := range testBreaker.threshold {
			p, _ := g.admit(t.Context(), "a", upTo(4), 1)
			require.NotNil(t, p)
			opened = p.done(endpointDown)
			require.Equal(t, i == testBreaker.threshold-1, !opened.IsZero())
		}
		pause := time.Until(opened)
		require.GreaterOrEqual(t, pause, testBreaker.base/2)
		require.Less(t, pause, testBreaker.base*3/2)
		last := time.Duration(0)
		for job := range int64(20) {
			p, hold := g.admit(t.Context(), "a", upTo(4), 100+job)
			require.Nil(t, p)
			require.GreaterOrEqual(t, hold, pause)
			require.Greater(t, hold, last, "they come back one after another")
			last = hold
		}
		time.Sleep(pause)
		probe, _ := g.admit(t.Context(), "a", upTo(4), 100)
		require.NotNil(t, probe)
		p, _ := g.admit(t.Context(), "a", upTo(4), 101)
		require.Nil(t, p, "a second probe")
		again := probe.done(endpointDown)
		require.Greater(t, time.Until(again), testBreaker.base-1, "the pause doubles")
		time.Sleep(time.Until(again))
		require.Len(t, g.kick(), 1, "one is called back to probe")
		probe, _ = g.admit(t.Context(), "a", upTo(4), 102)
		require.Empty(t, *called)
		probe.done(endpointUp)
		require.NotEmpty(t, *called, "what was put back is called back when the endpoint recovers")
		require.NotContains(t, *called, int64(102), "it came back by itself")
	})
}

// An endpoint that comes back with a backlog is not overrun: the attempts that begin double from second to second.
func TestAnEndpointThatComesBackIsBroughtBackSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const backlog = 300
		called := make(chan int64, backlog)
		g := newGate(100, testBreaker, func(jobs []int64) {
			for _, job := range jobs {
				called <- job
			}
		})
		for range testBreaker.threshold {
			p, _ := g.admit(t.Context(), "a", upTo(4), 0)
			p.done(endpointDown)
		}
		for job := range int64(backlog) {
			g.admit(t.Context(), "a", upTo(4), job)
		}
		time.Sleep(time.Until(g.lanes["a"].openUntil))
		probe, _ := g.admit(t.Context(), "a", upTo(4), 0)
		begin := time.Now()
		probe.done(endpointUp)
		var wg sync.WaitGroup
		var perSecond [20]int
		attempted := map[int64]bool{0: true}
		tick := time.NewTicker(fetchPollInterval / 2)
		defer tick.Stop()
		for len(attempted) < backlog && time.Since(begin) < 20*rampStep {
			select {
			case <-tick.C:
				g.callin(g.kick())
			case job := <-called:
				p, _ := g.admit(t.Context(), "a", upTo(4), job)
				if p == nil { // put back
					continue
				}
				require.False(t, attempted[job], "job %d came twice", job)
				attempted[job] = true
				perSecond[time.Since(begin)/rampStep]++
				wg.Go(func() { time.Sleep(5 * time.Millisecond); p.done(endpointUp) })
			}
		}
		wg.Wait()
		for second, n := range perSecond[:rampFor/rampStep] {
			require.Equal(t, 1<<second, n, "second %d: %v", second, perSecond)
		}
		require.Len(t, attempted, backlog, "%v", perSecond)
		require.Greater(t, perSecond[rampFor/rampStep], 64, "after the ramp the window is limit enough: %v", perSecond)
	})
}

func TestOtherProcessesBreakersAreHeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		limits := upTo(4)
		limits.holdUntil = time.Now().Add(20 * time.Second)
		p, hold := g.admit(t.Context(), "a", limits, 1)
		require.Nil(t, p)
		require.GreaterOrEqual(t, hold, 20*time.Second)
		p, _ = g.admit(t.Context(), "a", upTo(4), 1)
		require.NotNil(t, p, "the other process has closed it")
		p.done(endpointUp)
		p, _ = g.admit(t.Context(), "a", upTo(4), 1)
		require.Nil(t, p, "and it is brought back slowly here, too")
		time.Sleep(rampStep)
		limits.holdUntil = time.Now().Add(1000 * time.Hour) // a wrong clock
		p, _ = g.admit(t.Context(), "a", limits, 1)
		require.NotNil(t, p)
		p.done(endpointUp)
	})
}

func TestAChangedEndpointStartsAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		p, _ := g.admit(t.Context(), "a", upTo(4), 1)
		p.done(endpointGone)
		p, _ = g.admit(t.Context(), "a", upTo(4), 1)
		require.Nil(t, p, "an attempt after 410")
		limits := upTo(4)
		limits.version = 2
		p, _ = g.admit(t.Context(), "a", limits, 1)
		require.NotNil(t, p)
		p.done(endpointUnknown)
	})
}

// Whatever is put back comes back within a bound, and not all at once.
func TestAPutBackBacklogIsSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		p, _ := g.admit(t.Context(), "a", upTo(2), 0)
		time.Sleep(time.Second)
		perSecond := map[int]int{}
		for job := range int64(10_000) {
			_, hold := g.admit(t.Context(), "a", upTo(2), job+1)
			require.Positive(t, hold)
			require.LessOrEqual(t, hold, maxHold)
			perSecond[int(hold.Seconds())]++
		}
		for second, n := range perSecond {
			require.LessOrEqual(t, n, 60, "second %d", second)
		}
		p.done(endpointUp)
	})
}

func TestUnusedLanesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, _ := testGate(100)
		succeed(t, g, "a", upTo(1), time.Millisecond)
		held, _ := g.admit(t.Context(), "b", upTo(1), 1)
		time.Sleep(laneUnused + time.Second)
		g.sweep(laneUnused)
		require.NotContains(t, g.lanes, "a")
		require.Contains(t, g.lanes, "b")
		held.done(endpointUp)
	})
}

// Endpoints that fell silent together are not tried together again: in the busiest second no more than twice the mean.
func TestBreakersThatOpenedTogetherReopenApart(t *testing.T) {
	t.Parallel()
	perSecond := map[int]int{}
	const n = 10_000
	for range n {
		perSecond[int(testBreaker.wait(0).Seconds())]++
	}
	peak := 0
	for _, c := range perSecond {
		peak = max(peak, c)
	}
	require.LessOrEqual(t, peak, 2*n/len(perSecond))
	require.GreaterOrEqual(t, len(perSecond), 10)
}
