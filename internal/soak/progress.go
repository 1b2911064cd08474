package main

import (
	"encoding/csv"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// progressHead is the line above the lines of progress.
const progressHead = "time   store     events/s  deliv/s      p50      p99  backlog  kill stop term  net   db  heap MiB"

// progress is a sample for people.
func (w *world) progress(r *row) string {
	kinds := map[string]int{}
	for name, n := range r.faults {
		kind, _, _ := strings.Cut(name, "-")
		kinds[kind] += n
	}
	since := r.at.Sub(w.began).Round(time.Second)
	return fmt.Sprintf("%02d:%02d  %-8s %9.1f %8.1f %8s %8s %8s  %4d %4d %4d %4d %4d  %.1f+%.1f",
		int(since.Minutes()), int(since.Seconds())%60, w.place.Store, r.events, r.deliveries, latency(r.p50), latency(r.p99),
		orDash(r.outbox+r.inbox), kinds["kill"], kinds["stop"], kinds["term"], kinds["net"], kinds["db"],
		r.sender.Heap/(1<<20), r.receiver.Heap/(1<<20))
}

func latency(seconds float64) string {
	switch {
	case seconds != seconds:
		return "-"
	case seconds < 1:
		return fmt.Sprintf("%.0f ms", seconds*1000)
	}
	return fmt.Sprintf("%.1f s", seconds)
}

func orDash(v float64) string {
	if v != v {
		return "-"
	}
	return fmt.Sprintf("%.0f", v)
}

// writeCSV writes all samples to a file. Missing values are empty.
func (w *world) writeCSV(file string) (err error) {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer func() { err = firstError(err, f.Close()) }()
	out := csv.NewWriter(f)
	_ = out.Write([]string{ // Error has it
		"seconds", "events_per_second", "deliveries_per_second", "p50_seconds", "p99_seconds", "outbox_pending", "inbox_pending",
		"sender_heap_bytes", "sender_resident_bytes", "sender_goroutines", "sender_files",
		"receiver_heap_bytes", "receiver_resident_bytes", "receiver_goroutines", "receiver_files",
	})
	for _, r := range w.rows {
		var fields []string
		for _, v := range []float64{
			r.at.Sub(w.began).Seconds(), r.events, r.deliveries, r.p50, r.p99, r.outbox, r.inbox,
			r.sender.Heap, r.sender.Resident, r.sender.Goroutines, r.sender.Files,
			r.receiver.Heap, r.receiver.Resident, r.receiver.Goroutines, r.receiver.Files,
		} {
			text := ""
			if v == v {
				text = strconv.FormatFloat(v, 'f', -1, 64)
			}
			fields = append(fields, text)
		}
		_ = out.Write(fields) // Error has it
	}
	out.Flush()
	return out.Error()
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}
