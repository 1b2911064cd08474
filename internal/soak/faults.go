package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

// fault is what can be done to a world.
type fault struct {
	name   string
	stores []string // nil means all
	weight int
	do     func(f *faults, ctx context.Context, d time.Duration) error
	waits  bool // the next fault waits for it
}

// allFaults are the faults. The list is a function because functions in it
// refer to it.
func allFaults() []fault {
	servers := []string{onPostgres, onRedis}
	kill := func(role string) func(*faults, context.Context, time.Duration) error {
		return func(f *faults, _ context.Context, _ time.Duration) error {
			f.fleet.find(role, false).crash()
			return nil
		}
	}
	stop := func(role string) func(*faults, context.Context, time.Duration) error {
		return func(f *faults, ctx context.Context, d time.Duration) error {
			return f.fleet.find(role, d%2 == 0).pause(d, ctx.Done())
		}
	}
	term := func(role string) func(*faults, context.Context, time.Duration) error {
		return func(f *faults, _ context.Context, _ time.Duration) error {
			if m := f.fleet.find(role, false); m.isReady() {
				f.fleet.terminate(m)
			}
			return nil
		}
	}
	spoil := func(w weather) func(*faults, context.Context, time.Duration) error {
		return func(f *faults, ctx context.Context, d time.Duration) error { return f.spoil(ctx, w, d) }
	}
	return []fault{
		{name: "kill-sender", weight: 3, do: kill(sending)},
		{name: "kill-receiver", weight: 3, do: kill(receiving)},
		{name: "stop-sender", weight: 1, do: stop(sending)},
		{name: "stop-receiver", weight: 1, do: stop(receiving)},
		{name: "term-sender", weight: 1, do: term(sending)},
		{name: "term-receiver", weight: 1, do: term(receiving)},
		{name: "net-reset", weight: 2, do: spoil(resets), waits: true},
		{name: "net-delay", weight: 2, do: spoil(delays), waits: true},
		{name: "net-hole", weight: 1, do: spoil(hole), waits: true},
		{name: "db-lock", weight: 1, stores: []string{onSQLite, onRedis}, do: (*faults).lock},
		{name: "db-terminate", weight: 2, stores: []string{onPostgres}, do: func(f *faults, ctx context.Context, _ time.Duration) error {
			return f.servers.endSessions(ctx)
		}},
		{name: "db-kill", weight: 1, stores: servers, waits: true, do: func(f *faults, _ context.Context, _ time.Duration) error {
			return f.servers.restart()
		}},
		{name: "db-pause", weight: 1, stores: servers, waits: true, do: func(f *faults, ctx context.Context, d time.Duration) error {
			return f.servers.pause(d, ctx.Done())
		}},
	}
}

func faultNames() (names []string) {
	for _, f := range allFaults() {
		names = append(names, f.name)
	}
	return names
}

// span is when a fault was there, for the plots.
type span struct {
	name       string
	begin, end time.Time
}

// faults does one thing after the other to a world.
type faults struct {
	*world
	random *rand.Rand
	kinds  []fault
	wait   sync.WaitGroup

	mu    sync.Mutex
	spans []span
}

func newFaults(w *world, names []string, random *rand.Rand) *faults {
	f := &faults{world: w, random: random}
	for _, one := range allFaults() {
		here := slices.Contains(names, one.name) && (one.stores == nil || slices.Contains(one.stores, w.place.Store))
		if w.servers.own == nil && (one.name == "db-kill" || one.name == "db-pause") {
			here = false // the server belongs to others
		}
		if here {
			f.kinds = append(f.kinds, one)
		}
	}
	return f
}

// run makes faults until ctx ends, and then waits until they have ended.
func (f *faults) run(ctx context.Context, mean time.Duration) {
	defer f.wait.Wait()
	if len(f.kinds) == 0 {
		return
	}
	for {
		wait := mean/2 + time.Duration(f.random.Int64N(int64(mean)))
		kind, d := f.choose(), time.Second+time.Duration(f.random.Int64N(int64(4*time.Second)))
		if !passes(ctx, wait) {
			return
		}
		if kind.waits {
			f.make(ctx, kind, d)
		} else {
			f.wait.Go(func() { f.make(ctx, kind, d) })
		}
	}
}

// passes waits. It returns false if ctx ends before. On a machine that was
// stalled, both may have happened.
func passes(ctx context.Context, d time.Duration) bool {
	begin := time.Now()
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return time.Since(begin) >= d
}

// choose picks a fault by its weight.
func (f *faults) choose() fault {
	total := 0
	for _, kind := range f.kinds {
		total += kind.weight
	}
	n := f.random.IntN(total)
	for _, kind := range f.kinds {
		if n -= kind.weight; n < 0 {
			return kind
		}
	}
	panic("the weights have another sum") // n is less than the sum
}

func (f *faults) make(ctx context.Context, kind fault, d time.Duration) {
	begin := time.Now()
	f.note("%s begins", kind.name)
	err := kind.do(f, ctx, d)
	if ctx.Err() != nil {
		err = nil // the end of the run interrupts a fault
	}
	f.note("%s ended after %v: %v", kind.name, time.Since(begin).Round(time.Millisecond), err)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.spans = append(f.spans, span{kind.name, begin, time.Now()})
}

// past returns the faults so far.
func (f *faults) past() []span {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.spans)
}

// spoil changes the network for a while.
func (f *faults) spoil(ctx context.Context, w weather, d time.Duration) error {
	f.proxy.become(w)
	defer f.proxy.become(fair)
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return nil
}

// lock writes to the SQLite files for a while, in a transaction that is rolled
// back.
func (f *faults) lock(ctx context.Context, d time.Duration) error {
	var errs []error
	for _, own := range f.apps {
		tx, err := own.BeginTx(context.WithoutCancel(ctx), nil)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		defer func() { _ = tx.Rollback() }() // it has changed nothing
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return errors.Join(errs...)
}
