package inbox

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/deployhook/deployhook/internal/contain"
)

// combiner runs calls that come in at the same time together: one transaction, and one wait for the disk, for all of them. The
// first caller runs its own call at once; those that come meanwhile wait, and the first of them then runs all
// that have gathered. No goroutine is needed for it.
type combiner[T, R any] struct {
	run     func(ctx context.Context, items []T) ([]R, error)
	most    int           // items in one run
	width   int           // runs at a time
	timeout time.Duration // of one run
	faults  *contain.Faults
	// alone says whether after an error each item is to be tried by itself, so that one bad item does not fail the others.
	alone func(error) bool

	mu    sync.Mutex
	busy  int // runs under way
	queue []*call[T, R]
}

type call[T, R any] struct {
	item   T
	result R
	err    error
	leads  bool          // under mu
	lead   chan struct{} // closed when it is this caller's turn to run
	done   chan struct{} // closed when the result is there
}

// do returns what run makes of item. When ctx ends first it returns its error at once, although item may yet be run.
func (c *combiner[T, R]) do(ctx context.Context, item T) (R, error) {
	own := &call[T, R]{item: item, lead: make(chan struct{}), done: make(chan struct{})}
	c.mu.Lock()
	if c.busy < c.width {
		c.busy++
		c.mu.Unlock()
		c.runFrom(ctx, own)
		return own.result, own.err
	}
	c.queue = append(c.queue, own)
	c.mu.Unlock()
	select {
	case <-own.done:
	case <-own.lead:
		c.runFrom(ctx, own)
	case <-ctx.Done():
		c.leave(own)
		var none R
		return none, context.Cause(ctx)
	}
	return own.result, own.err
}

// leave takes own out of the queue, and passes the turn on if it has come meanwhile.
func (c *combiner[T, R]) leave(own *call[T, R]) {
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
func (c *combiner[T, R]) pass() {
	if len(c.queue) == 0 {
		c.busy--
		return
	}
	next := c.queue[0]
	c.queue = slices.Delete(c.queue, 0, 1)
	next.leads = true
	close(next.lead)
}

func (c *combiner[T, R]) runFrom(ctx context.Context, own *call[T, R]) {
	runtime.Gosched() // those that became runnable together with this caller, River's workers say, join it
	c.mu.Lock()
	n := min(len(c.queue), c.most-1)
	batch := append([]*call[T, R]{own}, c.queue[:n]...)
	c.queue = slices.Delete(c.queue, 0, n)
	c.mu.Unlock()
	defer func() {
		for _, one := range batch {
			close(one.done)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pass()
	}()
	// The others' calls must not end with this caller's context.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.timeout)
	defer cancel()
	c.runBatch(ctx, batch)
}

func (c *combiner[T, R]) runBatch(ctx context.Context, batch []*call[T, R]) {
	items := make([]T, len(batch))
	for i, one := range batch {
		items[i] = one.item
	}
	results, err := c.runContained(ctx, items)
	if err != nil && len(batch) > 1 && c.alone(err) {
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
func (c *combiner[T, R]) runContained(ctx context.Context, items []T) (results []R, err error) {
	if fault := c.faults.Call(ctx, inStoring, func() { results, err = c.run(ctx, items) }); fault != nil {
		return nil, fmt.Errorf("inbox: %s %w", inStoring, fault)
	}
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("inbox: %d results for %d items", len(results), len(items))
	}
	return results, err
}
