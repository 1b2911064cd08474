package main

import (
	"context"
	"math"
	"sync"
	"time"
)

// row is one sample.
type row struct {
	at                 time.Time
	counts             counts
	events, deliveries float64 // a second, since the last sample
	p50, p99           float64 // seconds from publishing to handling. NaN if nothing was handled
	outbox, inbox      float64 // pending deliveries. NaN if the database is down
	sender, receiver   memory  // of the processes that are never killed
	faults             map[string]int
}

// trend is how the memory of a process has developed.
type trend struct {
	heap, resident, goroutines, files series
	last                              memory
}

// recorder keeps the samples of a world.
type recorder struct {
	rows          []row
	lost, doubled int

	memory sync.Mutex
	byRole map[string]*trend
}

// remember keeps what a process says about its memory.
func (r *recorder) remember(role string, one report) {
	r.memory.Lock()
	defer r.memory.Unlock()
	if r.byRole == nil {
		r.byRole = map[string]*trend{sending: {}, receiving: {}}
	}
	t := r.byRole[role]
	t.heap.add(one.At, one.Memory.Heap)
	t.resident.add(one.At, one.Memory.Resident)
	t.goroutines.add(one.At, one.Memory.Goroutines)
	t.files.add(one.At, one.Memory.Files)
	t.last = *one.Memory
}

// trendOf returns the trend of a process. Call it when the process has ended.
func (r *recorder) trendOf(role string) *trend {
	r.memory.Lock()
	defer r.memory.Unlock()
	if t := r.byRole[role]; t != nil {
		return t
	}
	return &trend{}
}

func (r *recorder) latest(role string) memory {
	r.memory.Lock()
	defer r.memory.Unlock()
	if t := r.byRole[role]; t != nil {
		return t.last
	}
	return memory{}
}

// sampleAll takes a sample now and then, until ctx ends.
func (w *world) sampleAll(ctx context.Context) {
	tick := time.NewTicker(w.config.every)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.sample(ctx)
		}
	}
}

func (w *world) sample(ctx context.Context) {
	before := row{at: w.began}
	if n := len(w.rows); n > 0 {
		before = w.rows[n-1]
	}
	now := row{at: time.Now(), outbox: math.NaN(), inbox: math.NaN(), sender: w.latest(sending), receiver: w.latest(receiving)}
	var latencies []float64
	now.counts, latencies = w.ledger.sample()
	seconds := now.at.Sub(before.at).Seconds()
	now.events = float64(now.counts.acked-before.counts.acked) / seconds
	now.deliveries = float64(now.counts.delivered-before.counts.delivered) / seconds
	now.p50, now.p99 = math.NaN(), math.NaN()
	if len(latencies) > 0 {
		now.p50, now.p99 = quantile(latencies, 0.5), quantile(latencies, 0.99)
	}
	now.faults = w.faults.counts()
	short, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	w.sampleBacklog(short, &now)
	if ctx.Err() != nil && short.Err() != nil && math.IsNaN(now.outbox) {
		return // the run has ended meanwhile
	}
	w.rows = append(w.rows, now)
	w.print("%s", w.progress(&now))
}

func (w *world) sampleBacklog(ctx context.Context, now *row) {
	if s, err := w.outbox.Stats(ctx); err != nil {
		w.note("Stats: %v", err)
	} else {
		now.outbox = float64(s.Pending.N)
	}
	if w.inbox == nil {
		now.inbox = 0
		return
	}
	s, err := w.inbox.Stats(ctx)
	if err != nil {
		w.note("Stats of the inbox: %v", err)
		return
	}
	now.inbox = float64(s.Pending)
}

// counts returns how often each fault happened.
func (f *faults) counts() map[string]int {
	n := map[string]int{}
	for _, s := range f.past() {
		n[s.name]++
	}
	return n
}
