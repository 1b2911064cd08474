package sim

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

const (
	// maxFailures is how many failing seeds end a run.
	maxFailures = 3
	// shown is how many lines of a failing seed's log are printed.
	shown = 120
)

// Simulation is a kind of world.
type Simulation struct {
	// Build makes the world and lets it run to its end. It reports violations
	// with World.Violate. It must not use the testing.T of the test.
	Build func(w *World)
	// Expect names the faults and the transitions that a large run must see.
	Expect []string
	// Enough is how many seeds a run has that must see all of Expect. Zero
	// means 2000.
	Enough int
	// Longest is how much simulated time a world may take. A world that never
	// ends, but whose clock moves, ends the test then. Zero means 30 days.
	Longest time.Duration
}

// Run runs the seeds that the flags ask for, each in a separate bubble. The
// test fails if one of them does.
func (f *Flags) Run(t *testing.T, s Simulation) {
	labelTraces()
	if *f.seed != 0 {
		f.one(t, s)
		return
	}
	r := &run{t: t, flags: f, sim: s, report: newReport(), next: f.firstSeed()}
	r.report.first = r.next
	if *f.long > 0 {
		r.until = time.Now().Add(*f.long)
	}
	var workers sync.WaitGroup
	for range *f.bubbles {
		workers.Go(r.work)
	}
	workers.Wait()
	t.Log(r.report)
	for _, failed := range r.failed {
		t.Error(f.describe(t, s, failed))
	}
	if len(r.failed) == 0 && r.report.seeds >= cmp.Or(s.Enough, 2000) {
		for _, missing := range r.report.missing(s.Expect) {
			t.Errorf("%d seeds never saw %q: the world does not reach it, or the odds are too small", r.report.seeds, missing)
		}
	}
}

// labelTraces makes the trace of a crash show the labels of goroutines, and so
// the seed.
func labelTraces() {
	settings := os.Getenv("GODEBUG")
	if !strings.Contains(settings, "tracebacklabels") {
		_ = os.Setenv("GODEBUG", strings.TrimPrefix(settings+",tracebacklabels=1", ",")) // the name is valid
	}
}

// one runs one seed and prints its log.
func (f *Flags) one(t *testing.T, s Simulation) {
	res := play(t, s, *f.seed)
	t.Log("seed", *f.seed, "ran for", res.simulated, "\n"+strings.Join(res.lines, "\n"))
	if res.failed() {
		t.Error(f.describe(t, s, res))
	}
}

func (f *Flags) firstSeed() uint64 {
	switch {
	case *f.first != 0:
		return *f.first
	case *f.long > 0:
		return uint64(time.Now().UnixNano())
	}
	return 1
}

// run is one run of many seeds.
type run struct {
	t     *testing.T
	flags *Flags
	sim   Simulation
	until time.Time // zero: until the number of seeds is reached

	mu     sync.Mutex
	next   uint64
	report *Report
	failed []*result
}

// take returns the next seed, unless the run is over.
func (r *run) take() (uint64, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	over := int(r.next-r.report.first) >= *r.flags.seeds
	if !r.until.IsZero() {
		over = time.Now().After(r.until)
	}
	if over || len(r.failed) >= maxFailures {
		return 0, false
	}
	r.next++
	return r.next - 1, true
}

func (r *run) work() {
	for {
		seed, ok := r.take()
		if !ok {
			return
		}
		res := play(r.t, r.sim, seed)
		r.mu.Lock()
		r.report.add(res)
		if res.failed() {
			res.after = r.report.seeds
			r.failed = append(r.failed, res)
		}
		r.mu.Unlock()
		if *r.flags.log {
			r.t.Log("seed", seed, "\n"+strings.Join(res.lines, "\n"))
		}
	}
}

// result is what one seed did.
type result struct {
	seed      uint64
	after     int // how many seeds the run had finished then, this one included
	simulated time.Duration
	faults    map[string]int
	covered   map[string]int
	broken    []string
	lines     []string
}

func (r *result) failed() bool { return len(r.broken) > 0 }

// play runs one seed in a bubble. The goroutines carry the seed as a label, so
// that the trace of a crash names it.
func play(t *testing.T, s Simulation, seed uint64) *result {
	res := &result{seed: seed}
	p := newPulse()
	defer close(p.ended)
	go p.watch(hangs, s.most(), func(why string) { exit(seed, why) })
	pprof.Do(context.Background(), pprof.Labels("seed", fmt.Sprint(seed)), func(context.Context) {
		bubble(t, s, res, p)
	})
	return res
}

// bubble runs a world. A bubble whose goroutines wait for each other forever
// panics here.
func bubble(t *testing.T, s Simulation, res *result, p *pulse) {
	var w *World
	defer func() {
		if fault := recover(); fault != nil {
			res.collect(w)
			res.broken = append(res.broken, fmt.Sprintf("the world can't end: %v\n%s", fault, stacks("synctest bubble")))
		}
	}()
	synctest.Test(t, func(*testing.T) {
		w = newWorld(res.seed)
		defer res.collect(w)
		w.run(s, p)
	})
}

// run builds and ends a world. A panic of the world itself is a failure.
func (w *World) run(s Simulation, p *pulse) {
	ended := make(chan struct{})
	go p.beat(w, s.most(), ended)
	defer func() {
		if fault := recover(); fault != nil {
			w.Violate("panic: %v\n%s", fault, debug.Stack())
		}
		close(ended)
		w.end()
		synctest.Wait()
	}()
	s.Build(w)
}

func (r *result) collect(w *World) {
	if w == nil || r.faults != nil {
		return
	}
	r.lines = w.lines(shown)
	w.mu.Lock()
	defer w.mu.Unlock()
	r.faults, r.covered, r.broken = w.faults, w.covered, append(r.broken, w.broken...)
	r.simulated = w.simulated
}

// stacks returns the stacks of all goroutines that contain a text.
func stacks(containing string) string {
	buf := make([]byte, 1<<24)
	buf = buf[:runtime.Stack(buf, true)]
	var out []string
	for _, stack := range strings.Split(string(buf), "\n\n") {
		if strings.Contains(stack, containing) {
			out = append(out, stack)
		}
	}
	return strings.Join(out, "\n\n")
}

// describe says what a seed violated and how to run it again.
func (f *Flags) describe(t *testing.T, s Simulation, res *result) string {
	again := 0
	for range *f.again {
		if play(t, s, res.seed).failed() {
			again++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d fails, found after %d seeds\n", res.seed, res.after)
	for _, broken := range res.broken {
		fmt.Fprintf(&b, "    %s\n", broken)
	}
	fmt.Fprintf(&b, "the end of its log:\n%s\n", strings.Join(res.lines, "\n"))
	fmt.Fprintf(&b, "%d of %d further runs of the seed fail again. Run it with\n    go test -run '^%s$' -count 1 -sim.seed %d .\n", again, *f.again, t.Name(), res.seed)
	return b.String()
}
