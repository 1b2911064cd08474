package sim

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// hangs is how long the simulated clock may stand still in real time.
	hangs = 2 * time.Minute
	// longest is the default of Simulation.Longest.
	longest = 30 * 24 * time.Hour
	// beats is how often the clock shows that it moves, in Simulation.Longest.
	beats = 360
	// quiet is after how many beats a world that does nothing stops to show
	// them. Then a deadlock of all of its goroutines ends the bubble.
	quiet = 20
)

// pulse shows outside of the bubble how far the clock inside of it has come. It
// does not depend on the speed of the machine, as a time limit would.
type pulse struct {
	elapsed atomic.Int64  // a time.Duration
	ended   chan struct{} // closed after the bubble
}

func newPulse() *pulse { return &pulse{ended: make(chan struct{})} }

// beat runs in the bubble until the world ends. most is Simulation.Longest.
func (p *pulse) beat(w *World, most time.Duration, ended <-chan struct{}) {
	ticker := time.NewTicker(most / beats)
	defer ticker.Stop()
	for last, idle := 0, 0; idle < quiet; idle++ {
		select {
		case <-ticker.C:
		case <-ended:
			return
		}
		p.elapsed.Store(int64(w.Elapsed()))
		if n := w.activity(); n != last {
			last, idle = n, 0
		}
	}
}

// activity counts what the world has logged and seen.
func (w *World) activity() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.log) + w.seen
}

// watch runs outside of the bubble. It calls stuck with the reason when the
// clock stands still, or when the world does not end. patience is real time,
// and most is simulated.
func (p *pulse) watch(patience, most time.Duration, stuck func(why string)) {
	ticker := time.NewTicker(min(patience/4, time.Second))
	defer ticker.Stop()
	last, since := p.elapsed.Load(), time.Now()
	for {
		select {
		case <-ticker.C:
		case <-p.ended:
			return
		}
		now := p.elapsed.Load()
		switch {
		case now != last:
			last, since = now, time.Now()
		case time.Since(since) > patience:
			stuck(fmt.Sprintf("its clock has stood still at about %v for %v", time.Duration(now), patience))
			return
		}
		if time.Duration(now) > most {
			stuck(fmt.Sprintf("it has not ended after a simulated time of %v", time.Duration(now)))
			return
		}
	}
}

// exit ends the test, because nothing can end a goroutine that waits for a
// lock. It prints first what keeps the clock from moving.
func exit(seed uint64, why string) {
	all := stacks(fmt.Sprintf("labels:{%q: %q}", "seed", fmt.Sprint(seed)))
	fmt.Fprintf(os.Stderr, "sim: seed %d hangs: %s\n\n", seed, why)
	fmt.Fprintf(os.Stderr, "Its goroutines that are not durably blocked:\n\n%s\n\nAll of its goroutines:\n\n%s\n\nAll others:\n\n%s\n", active(all), all, stacks(""))
	os.Exit(1)
}

var durable = regexp.MustCompile(`^goroutine [^\n]*\(durable\)`)

// active returns those stacks whose goroutines are not durably blocked.
func active(stacks string) string {
	var out []string
	for stack := range strings.SplitSeq(stacks, "\n\n") {
		if !durable.MatchString(stack) {
			out = append(out, stack)
		}
	}
	return strings.Join(out, "\n\n")
}

// most returns how much simulated time a world may take.
func (s Simulation) most() time.Duration { return cmp.Or(s.Longest, longest) }
