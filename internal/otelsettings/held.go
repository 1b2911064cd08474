package otelsettings

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/contain"
)

// maxHeld is how many operations are measured together.
const maxHeld = 64

// Held measures operations, such as requests, many at a time.
//
// A measurement is slow after a request, because what the SDK needs for it has
// left the processor's caches. Operations are therefore held and then measured
// together. This happens when 64 are held, and at the beginning of each
// collection, so that a collection misses nothing. There are two exceptions:
//
//   - Nothing is held before the first collection, which shows that the
//     provider calls [Held.Collect]. Some views keep it from doing so.
//   - Sampled operations are measured at once. Their traces can become
//     exemplars.
//
// Make it with [NewHeld]. All methods are safe for concurrent use.
type Held[M any] struct {
	measure   func(context.Context, []M)
	collected atomic.Bool

	mu   sync.Mutex
	held []M
}

// NewHeld returns a Held that measures with the given function. The function
// must not keep the slice.
func NewHeld[M any](measure func(context.Context, []M)) *Held[M] {
	return &Held[M]{measure: measure, held: make([]M, 0, maxHeld)}
}

// End measures an operation that has ended in a span, or holds it.
func (h *Held[M]) End(ctx context.Context, span trace.SpanContext, m M) {
	if span.IsSampled() || !h.collected.Load() {
		h.measure(ctx, []M{m})
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.held = append(h.held, m)
	if len(h.held) == maxHeld {
		h.flush()
	}
}

// Collect must be called at the beginning of each collection.
func (h *Held[M]) Collect() {
	h.Flush()
	h.collected.Store(true)
}

// Flush measures all that is held.
func (h *Held[M]) Flush() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.flush()
}

func (h *Held[M]) flush() {
	held := h.held
	h.held = h.held[:0]
	if len(held) > 0 {
		h.measure(context.Background(), held)
	}
}

// Count adds the number of operations to a counter, with the options of each.
func Count[M any](ctx context.Context, c metric.Int64Counter, all []M, options func(*M) *[]metric.AddOption) {
	for len(all) > 0 {
		of, n := options(&all[0]), 1
		for n < len(all) && options(&all[n]) == of {
			n++
		}
		c.Add(ctx, int64(n), *of...)
		all = all[n:]
	}
}

// Register lets the provider call collect at the beginning of each collection,
// as long as owner is in use. Afterwards it calls flush once. Neither function
// may refer to owner.
func Register[T any](owner *T, m metric.Meter, collect metric.Callback, flush func(), observed ...metric.Observable) error {
	registration, err := m.RegisterCallback(collect, observed...)
	if err != nil {
		return err
	}
	runtime.AddCleanup(owner, func(r metric.Registration) {
		contain.Inline(func() { // no caller is left to report a fault to
			flush()
			_ = r.Unregister() // the same
		})
	}, registration)
	return nil
}
