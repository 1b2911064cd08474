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

// Combiner runs calls that come in at the same time together: one transaction, and
// one wait for the disk, for all of them. The first caller runs its own call at
// once. The calls that come meanwhile wait, and the first of them then runs all
// that have gathered. So a lone call never waits for another, and no goroutine is
// needed. Its fields must not change while it is used.
type Combiner[T, R any] struct {
	// Run returns a result for each item, in their order.
	Run func(ctx context.Context, items []T) ([]R, error)
	// Most is how many items are in one run, and Width how many runs are under way
	// at a time.
	Most, Width int
	// Timeout bounds one run, whose context does not end with a caller's.
	Timeout time.Duration
	// Alone reports whether after an error each item is tried by itself, so that
	// one bad item does not fail the others.
	Alone func(error) bool
	// Faults counts and logs the panics of Run under the name In.
	Faults *contain.Faults
	In     string

	mu    sync.Mutex
	busy  int // runs under way
	queue []*call[T, R]
}

type call[T, R any] struct {
	item   T
	result R
	err    error
	leads  bool          // it is this caller's turn to run; under mu, and read after wake is closed
	wake   chan struct{} // closed when leads is set or the result is there; nil for a call that runs at once
}

// Do returns what Run makes of item. If ctx ends while the call waits, Do returns
// at once.
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

// leave takes own out of the queue, and passes the turn on if it has come meanwhile.
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

// pass gives the turn to the next in the queue. The caller holds mu.
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
	runtime.Gosched() // those that became runnable together with this caller, River's workers say, join it
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
	// The others' calls must not end with this caller's context.
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

// runContained turns a fault into an error, since the other callers wait for a result.
func (c *Combiner[T, R]) runContained(ctx context.Context, items []T) (results []R, err error) {
	if fault := c.Faults.Call(ctx, c.In, func() { results, err = c.Run(ctx, items) }); fault != nil {
		return nil, fmt.Errorf("%s %w", c.In, fault)
	}
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%s returned %d results for %d items", c.In, len(results), len(items))
	}
	return results, err
}
