package receiver

import (
	"context"
	"sync"
	"time"
)

// lazyContext is a cancelable context that costs almost nothing until it is
// used. The first call of Done or Value creates the timer, the cancel function
// and the link to the parent. Most deliveries never need them, and creating
// them would cost more than the call to the store.
//
// Callers cannot tell it from a context of the standard library, because it
// delegates to one.
type lazyContext struct {
	parent   context.Context
	detached bool      // does not end with its parent
	deadline time.Time // zero: no deadline besides the parent's
	delivery *Delivery // returned by FromContext; may be nil

	mu     sync.Mutex
	inner  context.Context // nil until first used
	cancel context.CancelCauseFunc
	ended  bool
	cause  error // set by end
}

var _ context.Context = (*lazyContext)(nil)

// storeContext returns the context for one call to the store. It has the
// request's values and its own deadline. It does not end with the request,
// because the state of a claim must not depend on the sender's connection.
func (rc *Receiver) storeContext(parent context.Context, now time.Time) *lazyContext {
	return rc.initStoreContext(parent, now, new(lazyContext))
}

// initStoreContext is storeContext for a context that is allocated already.
func (rc *Receiver) initStoreContext(parent context.Context, now time.Time, c *lazyContext) *lazyContext {
	c.parent, c.detached, c.deadline = parent, true, now.Add(rc.storeTimeout)
	return c
}

// end cancels the context with a cause. Only the first call counts.
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

// standard creates the standard library's context on first use.
func (c *lazyContext) standard() context.Context {
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

func (c *lazyContext) Done() <-chan struct{} { return c.standard().Done() }

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
	return c.standard().Value(key)
}
