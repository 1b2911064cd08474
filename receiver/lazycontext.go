package receiver

import (
	"context"
	"sync"
	"time"
)

// lazyContext is a context with cancellation of its own that costs next to nothing until somebody looks: the timer, the
// cancel function and the tie to its parent are made when Done or Value is first called. Most deliveries are handled,
// claimed and completed without that, and would otherwise spend more on contexts than on the store.
//
// To whoever looks it behaves as the standard library's contexts do, since it hands over to one of them.
type lazyContext struct {
	parent   context.Context
	detached bool      // does not end with its parent
	deadline time.Time // zero: none of its own
	delivery *Delivery // what FromContext finds; may be nil

	mu     sync.Mutex
	inner  context.Context // nil until somebody looks
	cancel context.CancelCauseFunc
	ended  bool
	cause  error // with which it ended
}

var _ context.Context = (*lazyContext)(nil)

// storeContext is for one call to the store: it has the request's values without its end, and a deadline. What becomes of a
// claim must not depend on whether the peer still listens.
func (rc *Receiver) storeContext(parent context.Context, now time.Time) *lazyContext {
	return &lazyContext{parent: parent, detached: true, deadline: now.Add(rc.storeTimeout)}
}

// end cancels; whoever still holds the context finds it so. Only the first call counts.
func (c *lazyContext) end(cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ended {
		return
	}
	c.ended, c.cause = true, cause
	if c.cancel != nil {
		c.cancel(cause)
	}
}

// look makes the standard library's context, if there is none yet.
func (c *lazyContext) look() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner
	}
	parent := c.parent
	if c.detached {
		parent = context.WithoutCancel(parent)
	}
	if c.delivery != nil {
		parent = context.WithValue(parent, deliveryKey{}, c.delivery)
	}
	c.inner, c.cancel = context.WithCancelCause(parent)
	if !c.deadline.IsZero() {
		timed, stop := context.WithDeadline(c.inner, c.deadline)
		cancel := c.cancel
		c.inner, c.cancel = timed, func(cause error) { cancel(cause); stop() }
	}
	if c.ended {
		c.cancel(c.cause)
	}
	return c.inner
}

func (c *lazyContext) Deadline() (time.Time, bool) {
	if !c.deadline.IsZero() {
		return c.deadline, true
	}
	return c.parent.Deadline()
}

func (c *lazyContext) Done() <-chan struct{} { return c.look().Done() }

func (c *lazyContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.inner != nil:
		return c.inner.Err()
	case c.ended:
		return context.Canceled
	case !c.deadline.IsZero() && !time.Now().Before(c.deadline):
		return context.DeadlineExceeded
	case c.detached:
		return nil
	}
	return c.parent.Err()
}

func (c *lazyContext) Value(key any) any {
	if key == (deliveryKey{}) && c.delivery != nil {
		return c.delivery
	}
	return c.look().Value(key)
}
