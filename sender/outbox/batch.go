package outbox

import (
	"context"
	"errors"
	"fmt"

	"github.com/deployhook/deployhook/internal/contain"
)

// maxBatch is how many deliveries are read or written in one statement or transaction.
const maxBatch = 256

var errStopped = errors.New("outbox: stopped")

// batcher turns concurrent calls into batches: while one runs, the next fills. A lone call waits for nobody, so that
// batching costs no time where there is no load.
type batcher[I, O any] struct {
	limit  int
	do     func(ctx context.Context, items []I) ([]O, error)
	in     chan batchCall[I, O]
	ended  chan struct{} // of this start
	faults *contain.Faults
	name   string // of its faults
}

type batchCall[I, O any] struct {
	item I
	out  chan<- batchResult[O]
}

type batchResult[O any] struct {
	value O
	err   error
}

// newBatcher returns a batcher that is not running. do returns a result for each item, in their order.
func newBatcher[I, O any](limit int, do func(context.Context, []I) ([]O, error)) *batcher[I, O] {
	return &batcher[I, O]{
		limit: limit, do: do, in: make(chan batchCall[I, O], limit), ended: make(chan struct{}),
		faults: contain.New("outbox", nil), name: "batch",
	}
}

// report sets where faults are counted and logged, and under which name.
func (b *batcher[I, O]) report(faults *contain.Faults, name string) *batcher[I, O] {
	b.faults, b.name = faults, name
	return b
}

// start begins to serve. It may be called again after wait, when nobody calls any more.
func (b *batcher[I, O]) start(ctx context.Context) {
	select {
	case <-b.ended:
		b.ended = make(chan struct{})
	default: // the first start; calls may be waiting for it
	}
	ended := b.ended
	go func() {
		defer close(ended)
		b.faults.Run(ctx, b.name, b.run)
	}()
}

func (b *batcher[I, O]) wait() { <-b.ended }

func (b *batcher[I, O]) run(ctx context.Context) {
	calls := make([]batchCall[I, O], 0, b.limit)
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-b.in:
			calls = b.fill(append(calls[:0], c))
		}
		b.serve(ctx, calls)
	}
}

// fill adds the calls that are waiting.
func (b *batcher[I, O]) fill(calls []batchCall[I, O]) []batchCall[I, O] {
	for len(calls) < b.limit {
		select {
		case c := <-b.in:
			calls = append(calls, c)
		default:
			return calls
		}
	}
	return calls
}

func (b *batcher[I, O]) serve(ctx context.Context, calls []batchCall[I, O]) {
	items := make([]I, len(calls))
	for i, c := range calls {
		items[i] = c.item
	}
	out, err := b.contained(ctx, items)
	if err != nil && len(calls) > 1 && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
		// One that the database does not take must not fail the others.
		for i := range calls {
			b.serve(ctx, calls[i:i+1])
		}
		return
	}
	for i, c := range calls {
		r := batchResult[O]{err: err}
		if err == nil {
			r.value = out[i]
		}
		c.out <- r // has room
	}
}

// contained turns a fault into an error, since the callers wait for a result.
func (b *batcher[I, O]) contained(ctx context.Context, items []I) (out []O, err error) {
	if fault := b.faults.Call(ctx, b.name, func() { out, err = b.do(ctx, items) }); fault != nil {
		return nil, fmt.Errorf("outbox: %s %w", b.name, fault)
	}
	if err == nil && len(out) != len(items) {
		err = fmt.Errorf("outbox: %s returned %d results for %d items", b.name, len(out), len(items))
	}
	return out, err
}

// call hands in one item and waits for its result. What has been handed in is done even if ctx ends.
func (b *batcher[I, O]) call(ctx context.Context, item I) (O, error) {
	var zero O
	out := make(chan batchResult[O], 1)
	select {
	case b.in <- batchCall[I, O]{item, out}:
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	case <-b.ended:
		return zero, errStopped
	}
	select {
	case r := <-out:
		return r.value, r.err
	case <-ctx.Done():
		return zero, context.Cause(ctx)
	case <-b.ended:
		return zero, errStopped
	}
}
