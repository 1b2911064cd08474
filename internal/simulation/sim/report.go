package sim

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Report is what a run of many seeds did.
type Report struct {
	first     uint64
	seeds     int
	failures  int
	begun     time.Time
	simulated float64 // days, since a long run is longer than a time.Duration can be
	faults    map[string]int
	covered   map[string]int
}

func newReport() *Report {
	return &Report{begun: time.Now(), faults: map[string]int{}, covered: map[string]int{}}
}

func (r *Report) add(res *result) {
	r.seeds++
	r.simulated += res.simulated.Hours() / 24
	if res.failed() {
		r.failures++
	}
	for kind, n := range res.faults {
		r.faults[kind] += n
	}
	for transition, n := range res.covered {
		r.covered[transition] += n
	}
}

// missing returns the names that were neither injected nor covered.
func (r *Report) missing(expected []string) (out []string) {
	for _, name := range expected {
		if r.faults[name] == 0 && r.covered[name] == 0 {
			out = append(out, name)
		}
	}
	return out
}

// String returns the report as text with one line for each kind.
func (r *Report) String() string {
	var b strings.Builder
	took := time.Since(r.begun)
	fmt.Fprintf(&b, "%d seeds from %d, %d violations, %.1f days simulated in %v (%.0f seeds a second)\n", r.seeds, r.first, r.failures, r.simulated, took.Round(10*time.Millisecond), float64(r.seeds)/took.Seconds())
	table(&b, "faults", r.faults)
	table(&b, "transitions", r.covered)
	return b.String()
}

func table(b *strings.Builder, title string, counts map[string]int) {
	total := 0
	for _, n := range counts {
		total += n
	}
	fmt.Fprintf(b, "%s: %d\n", title, total)
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(b, "  %9d  %s\n", counts[name], name)
	}
}
