package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
)

// summary is the result of the command.
type summary struct {
	Seed   uint64    `json:"seed"`
	Stores []*result `json:"stores"`
}

// result is the result of a world.
type result struct {
	Store        string               `json:"store"`
	Seconds      float64              `json:"seconds"` // of publishing, and of the drain
	DrainSeconds float64              `json:"drain_seconds"`
	Published    int                  `json:"published"`    // events that were begun
	Acknowledged int                  `json:"acknowledged"` // of them
	Delivered    int                  `json:"delivered"`    // deliveries, each counted once
	Requests     int                  `json:"requests"`     // that the receivers got
	Repeated     int                  `json:"repeated"`     // handled again after a crash, without transactions
	Missed       int                  `json:"missed"`       // sent as missed at the end
	Lost         int                  `json:"lost"`
	Doubled      int                  `json:"doubled"` // effects that happened twice
	P50          float64              `json:"p50_seconds"`
	P99          float64              `json:"p99_seconds"`
	Backlog      float64              `json:"largest_backlog"`
	Kills        int                  `json:"kills"` // processes and servers ended by SIGKILL
	Faults       map[string]int       `json:"faults"`
	Calls        map[string]int       `json:"operators"`
	Memory       map[string]slopeText `json:"memory"`
	Violations   []string             `json:"violations"`
}

// slopeText is the trend of a process that was never killed.
type slopeText struct {
	HeapPerMinute     float64 `json:"heap_bytes_per_minute"`
	ResidentPerMinute float64 `json:"resident_bytes_per_minute"`
	Judged            bool    `json:"judged"` // it lived long enough
	Text              string  `json:"text"`
}

func (w *world) summarize(o *operators, drained time.Duration) *result {
	c, _ := w.ledger.sample()
	r := &result{
		Store: w.place.Store, Seconds: time.Since(w.began).Seconds(), DrainSeconds: drained.Seconds(),
		Published: c.intended, Acknowledged: c.acked, Delivered: c.delivered, Requests: c.requests, Repeated: c.repeated,
		Missed: w.missed, Lost: w.lost, Doubled: w.doubled, P50: quantile(w.ledger.all, 0.5), P99: quantile(w.ledger.all, 0.99),
		Faults: w.faults.counts(), Calls: o.calls, Memory: map[string]slopeText{}, Violations: w.found(),
	}
	for name, n := range r.Faults {
		if strings.Contains(name, "kill") {
			r.Kills += n
		}
	}
	for _, one := range w.rows {
		r.Backlog = max(r.Backlog, orZero(one.outbox)+orZero(one.inbox))
	}
	for _, role := range []string{sending, receiving} {
		t := w.trendOf(role)
		r.Memory[role] = slopeText{t.heap.settled().slope(), t.resident.settled().slope(), t.heap.span() >= judgedAfter, t.String()}
	}
	return r
}

// orZero is for values that are missing.
func orZero(v float64) float64 {
	if v != v {
		return 0
	}
	return v
}

// ok reports whether there was no violation.
func (s *summary) ok() bool {
	return !slices.ContainsFunc(s.Stores, func(r *result) bool { return len(r.Violations) > 0 })
}

func (s *summary) writeJSON(out io.Writer) error {
	e := json.NewEncoder(out)
	e.SetIndent("", "  ")
	return e.Encode(s)
}

func (s *summary) write(out io.Writer) {
	for _, r := range s.Stores {
		fmt.Fprintf(out, "\n%s: %.0f s, the last %.0f of them to drain\n", r.Store, r.Seconds, r.DrainSeconds)
		for _, line := range [][2]string{
			{"events", fmt.Sprintf("%d acknowledged of %d", r.Acknowledged, r.Published)},
			{"deliveries", fmt.Sprintf("%d in %d requests, %d of them sent as missed at the end", r.Delivered, r.Requests, r.Missed)},
			{"lost", fmt.Sprint(r.Lost)},
			{"handled again", fmt.Sprintf("%d; effects doubled: %d", r.Repeated, r.Doubled)},
			{"latency", fmt.Sprintf("p50 %.0f ms, p99 %.1f s", r.P50*1000, r.P99)},
			{"largest backlog", fmt.Sprintf("%.0f", r.Backlog)},
			{"kills", fmt.Sprint(r.Kills)},
			{"faults", list(r.Faults)},
			{"operators", list(r.Calls)},
			{"sender", r.Memory[sending].Text},
			{"receiver", r.Memory[receiving].Text},
		} {
			fmt.Fprintf(out, "  %-16s %s\n", line[0], line[1])
		}
		for _, v := range r.Violations {
			fmt.Fprintf(out, "  violation        %s\n", v)
		}
	}
	verdict := "no violation"
	if !s.ok() {
		verdict = "VIOLATIONS, see above"
	}
	fmt.Fprintf(out, "\n%s; run again with -seed %d\n", verdict, s.Seed)
}

func list(counts map[string]int) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
	}
	return strings.Join(parts, ", ")
}
