package main

import (
	"fmt"
	"time"
)

// judgedAfter is how long a process must have lived for its trend to mean
// something.
const judgedAfter = 3 * time.Minute

// residentBound is by how many bytes a minute the resident memory may grow. It
// is wide, because the system and SQLite keep memory that was used once.
const residentBound = 2 << 20

// bound is a limit for a trend.
type bound struct {
	name   string
	values *series
	most   float64 // units a minute
	unit   float64
	unitOf string
}

// settleMemory checks that the processes which were never killed do not grow.
func (w *world) settleMemory() {
	for _, role := range []string{sending, receiving} {
		t := w.trendOf(role)
		for _, b := range []bound{
			{"heap", &t.heap, w.config.heapBound, 1 << 10, "KiB"},
			{"resident memory", &t.resident, residentBound, 1 << 10, "KiB"},
		} {
			settled := b.values.settled()
			if slope := settled.slope(); b.values.span() >= judgedAfter && slope > b.most {
				w.fail("the %s of the steady %s grows by %.0f %s a minute, and %.0f are allowed", b.name, role, slope/b.unit, b.unitOf, b.most/b.unit)
			}
		}
		for what, values := range t.levels() {
			if first, last, grown := values.settled().outgrown(); grown {
				w.fail("the steady %s went from %.0f to %.0f %s", role, first, last, what)
			}
		}
	}
}

// levels are the numbers that depend on what the process is doing, but stay in
// a range.
func (t *trend) levels() map[string]*series {
	return map[string]*series{"goroutines": &t.goroutines, "open files": &t.files}
}

// outgrown reports whether the values have left their range. The last value
// counts if it is low again, because a process does more for a backlog that is
// drained at the end.
func (s *series) outgrown() (first, last float64, grown bool) {
	if s.span() < judgedAfter/2 {
		return 0, 0, false
	}
	first, last = s.growth()
	last = min(last, s.values[len(s.values)-1])
	return first, last, last > first*1.5+20
}

// outgrown reports whether the last sample of a process is out of its range.
func (r *recorder) outgrown() bool {
	r.memory.Lock()
	defer r.memory.Unlock()
	for _, t := range r.byRole {
		for _, values := range t.levels() {
			if _, _, grown := values.settled().outgrown(); grown {
				return true
			}
		}
	}
	return false
}

// String is for the summary.
func (t *trend) String() string {
	if t.heap.span() < judgedAfter {
		return fmt.Sprintf("heap %.1f MiB, too short for a trend", t.last.Heap/(1<<20))
	}
	first, last := t.heap.settled().growth()
	return fmt.Sprintf("heap %.1f to %.1f MiB (%+.1f KiB/min), resident %+.1f KiB/min, %.0f goroutines, %.0f files",
		first/(1<<20), last/(1<<20), t.heap.settled().slope()/(1<<10), t.resident.settled().slope()/(1<<10), t.last.Goroutines, t.last.Files)
}
