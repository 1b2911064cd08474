package sqldb

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

// Combiner runs concurrent calls together, with one transaction and one wait
// for the disk for all of them. The first caller runs its own call at once.
// Calls that arrive meanwhile wait. When a run ends, the first waiting caller
// leads the next run, with all waiting calls. A single call therefore never
// waits for another, and no goroutine is needed. Do not change the fields of a
// Combiner in use.
type Combiner[T, R any] struct {
	// Run returns a result for each item, in the order of the items.
	Run func(ctx context.Context, items []T) ([]R, error)
	// Most is the maximum number of items in one run, and Width the maximum
	// number of concurrent runs.
	Most, Width int
	// Timeout limits one run. The context of a run does not end with that of a
	// caller.
	Timeout time.Duration
	// Alone reports whether, after an error, each item is tried separately, so
	// that one bad item does not fail the others.
	Alone func(error) bool
	// Faults counts and logs the panics of Run under the name in the field In.
	Faults *contain.Faults
	In     string

	mu    sync.Mutex
	busy  int // current runs
	queue []*call[T, R]
}

type call[T, R any] struct {
	item   T
	result R
	err    error
	// leads is true if this caller runs the next batch. It is protected by mu,
	// and read after wake is closed.
	leads bool
	// wake is closed when leads is set or the result exists. It is nil for a
	// call that runs at once.
	wake chan struct{}
}

// Do returns the result of Run for item. If ctx ends while the call waits, Do
// returns at once.
func (c *Combiner[T, R]) Do(ctx context.Context, item T) (R, error) {
	own := &call[T, R]{item: item}
	c.mu.Lock()
	if c.busy < c.Width {
		c.busy++
		c.mu.Unlock()
		c.runFrom(ctx, own)
		return own.result, own.err
	}
	own.wake = make(chan struct{})
	c.queue = append(c.queue, own)
	c.mu.Unlock()
	select {
	case <-own.wake:
		if own.leads {
			c.runFrom(ctx, own)
		}
	case <-ctx.Done():
		c.leave(own)
		var none R
		return none, context.Cause(ctx)
	}
	return own.result, own.err
}

// leave removes own from the queue. If own was chosen as leader meanwhile, it
// passes the lead on.
func (c *Combiner[T, R]) leave(own *call[T, R]) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if own.leads {
		c.pass()
		return
	}
	if i := slices.Index(c.queue, own); i >= 0 {
		c.queue = slices.Delete(c.queue, i, i+1)
	}
}

// pass makes the first call in the queue the leader. The caller holds mu.
func (c *Combiner[T, R]) pass() {
	if len(c.queue) == 0 {
		c.busy--
		return
	}
	next := c.queue[0]
	c.queue = slices.Delete(c.queue, 0, 1)
	next.leads = true
	close(next.wake)
}

func (c *Combiner[T, R]) runFrom(ctx context.Context, own *call[T, R]) {
	// Calls that became runnable at the same time, for example those of the
	// workers of a queue, join the run.
	runtime.Gosched()
	c.mu.Lock()
	n := min(len(c.queue), c.Most-1)
	batch := append([]*call[T, R]{own}, c.queue[:n]...)
	c.queue = slices.Delete(c.queue, 0, n)
	c.mu.Unlock()
	defer func() {
		for _, one := range batch[1:] {
			close(one.wake)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pass()
	}()
	// The calls of the others must not end with this caller's context.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Timeout)
	defer cancel()
	c.runBatch(ctx, batch)
}

func (c *Combiner[T, R]) runBatch(ctx context.Context, batch []*call[T, R]) {
	items := make([]T, len(batch))
	for i, one := range batch {
		items[i] = one.item
	}
	results, err := c.runContained(ctx, items)
	if err != nil && len(batch) > 1 && c.Alone(err) {
		for i := range batch {
			c.runBatch(ctx, batch[i:i+1])
		}
		return
	}
	for i, one := range batch {
		one.err = err
		if err == nil {
			one.result = results[i]
		}
	}
}

// runContained turns a fault into an error, because the other callers wait for
// a result.
func (c *Combiner[T, R]) runContained(ctx context.Context, items []T) (results []R, err error) {
	if fault := c.Faults.Call(ctx, c.In, func() { results, err = c.Run(ctx, items) }); fault != nil {
		return nil, fmt.Errorf("%s %w", c.In, fault)
	}
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%s returned %d results for %d items", c.In, len(results), len(items))
	}
	return results, err
}
