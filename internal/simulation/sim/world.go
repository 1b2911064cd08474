package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// World is one simulated world, made from one seed inside one bubble. Its
// methods are safe for concurrent use, except Plan, Always and Play.
type World struct {
	// Seed is what the world was made from.
	Seed uint64
	// Net is the network between the processes.
	Net *Network

	start     time.Time
	plan      []event
	always    []func()
	mu        sync.Mutex
	processes []*Process
	faults    map[string]int
	covered   map[string]int
	seen      int // transitions that were counted
	broken    []string
	log       []line
	simulated time.Duration
	rested    time.Duration // not part of it
}

// event is an outside event, such as a kill or a rotation.
type event struct {
	at   time.Duration
	name string
	do   func()
}

// line is a log line. It is formatted only if the seed fails.
type line struct {
	at     time.Duration
	format string
	args   []any
}

func newWorld(seed uint64) *World {
	w := &World{Seed: seed, start: time.Now(), faults: map[string]int{}, covered: map[string]int{}}
	w.Net = newNetwork(w)
	return w
}

// Rand returns the stream of random numbers with the given name. Each name has
// its own stream, so a further draw in one place leaves all others as they
// were. A stream is not safe for concurrent use.
func (w *World) Rand(name string) *rand.Rand {
	h := fnv.New64a()
	_, _ = h.Write([]byte(name)) // a hash never fails
	return rand.New(rand.NewPCG(w.Seed, h.Sum64()))
}

// Elapsed returns the simulated time since the world began.
func (w *World) Elapsed() time.Duration { return time.Since(w.start) }

// Fault counts a fault that took effect.
func (w *World) Fault(kind string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[kind]++
	w.log = append(w.log, line{w.Elapsed(), "fault: %s", []any{kind}})
}

// Cover counts a transition of the product that the world has seen.
func (w *World) Cover(transition string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.covered[transition]++
	w.seen++
}

// Violate reports that an invariant does not hold. The seed then fails.
func (w *World) Violate(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	w.broken = append(w.broken, fmt.Sprintf("at %v: %s", w.Elapsed(), text))
	w.log = append(w.log, line{w.Elapsed(), "VIOLATION: %s", []any{text}})
}

// Log adds a line to the log that a failing seed prints. The arguments must not
// change later.
func (w *World) Log(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, line{w.Elapsed(), format, args})
}

// Plan adds an outside event, which Play runs at a time since the world began.
func (w *World) Plan(at time.Duration, name string, do func()) {
	w.plan = append(w.plan, event{at, name, do})
}

// Always adds a check that runs at every quiescence of Play. It calls Violate.
func (w *World) Always(check func()) { w.always = append(w.always, check) }

// Play runs the planned events in the order of their times until the given time
// since the world began. Each event is injected at quiescence, when all
// goroutines of the bubble are durably blocked. The checks of Always run before
// and after it. An event may plan further ones.
func (w *World) Play(until time.Duration) {
	for {
		i := w.next()
		if i < 0 || w.plan[i].at > until {
			break
		}
		e := w.plan[i]
		w.plan = slices.Delete(w.plan, i, i+1)
		w.quiesce(e.at)
		w.Log("event: %s", e.name)
		e.do()
		synctest.Wait()
		w.check()
	}
	w.quiesce(until)
}

// next returns the index of the earliest event, or -1.
func (w *World) next() int {
	first := -1
	for i, e := range w.plan {
		if first < 0 || e.at < w.plan[first].at {
			first = i
		}
	}
	return first
}

// quiesce waits until a time and for quiescence, then checks.
func (w *World) quiesce(at time.Duration) {
	time.Sleep(time.Until(w.start.Add(at))) // the bubble's time
	synctest.Wait()
	w.check()
}

func (w *World) check() {
	for _, check := range w.always {
		check()
	}
}

// Rest lets time pass in which nothing happens, for example until the
// goroutines of killed processes have ended. The report does not count it as
// simulated time.
func (w *World) Rest(d time.Duration) {
	w.mu.Lock()
	w.rested += d
	w.mu.Unlock()
	time.Sleep(d) // the bubble's time
}

// end kills what still runs, so that the bubble can end.
func (w *World) end() {
	w.mu.Lock()
	w.simulated = w.Elapsed() - w.rested
	processes := slices.Clone(w.processes)
	w.mu.Unlock()
	for _, p := range processes {
		p.end()
	}
	w.Net.close()
}

// lines returns the log as text, without all but the latest lines.
func (w *World) lines(most int) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, l := range w.log[max(len(w.log)-most, 0):] {
		out = append(out, fmt.Sprintf("%12v  %s", l.at, fmt.Sprintf(l.format, l.args...)))
	}
	return out
}
