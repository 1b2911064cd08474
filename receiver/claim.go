package receiver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// key identifies a delivery in the dedupe store. It contains the source name,
// the principal, and the delivery ID. If the scheme signs no ID, the hash of
// the signed body replaces it. Unsigned headers are never used.
func (rc *Receiver) key(d *Delivery) dedupe.Key {
	if d.ID != "" {
		return dedupe.NewKey(rc.source, d.Principal, d.ID)
	}
	sum := sha256.Sum256(d.Body)
	// This never equals a delivery ID, because package signer rejects IDs with
	// a dot.
	return dedupe.NewKey(rc.source, d.Principal, "sha256."+hex.EncodeToString(sum[:]))
}

// claim asks the store for the right to handle d. The call does not end with
// the request. Otherwise the store could grant a claim after the receiver
// stopped waiting, and no process would handle or release it.
func (rc *Receiver) claim(ctx context.Context, h *handling, now time.Time) (dedupe.Claim, error) {
	call := rc.initStoreContext(ctx, now, &h.claiming)
	defer call.end(nil)
	var c dedupe.Claim
	err := rc.contained(func() (err error) {
		c, err = rc.store.Claim(call, rc.key(&h.Delivery), rc.lease)
		return err
	})
	return c, err
}

// complete records the delivery as handled, even when the request's context has
// ended. The handler's effect exists by then.
func (rc *Receiver) complete(ctx context.Context, h *handling, now time.Time) error {
	call := rc.initStoreContext(ctx, now, &h.completing)
	defer call.end(nil)
	return rc.contained(func() error { return rc.store.Complete(call, h.Claim) })
}

// release gives the claim back so that a retry runs the handler. If it fails, a
// retry runs when the lease ends.
func (rc *Receiver) release(ctx context.Context, c dedupe.Claim) error {
	call := rc.storeContext(ctx, time.Now())
	defer call.end(nil)
	if err := rc.contained(func() error { return rc.store.Release(call, c) }); err != nil {
		return fmt.Errorf("receiver: release: %w", err)
	}
	return nil
}

// giveUp releases the claim of a failed handler. It keeps the claim if the
// handler completed it before failing, because that commit took effect.
func (rc *Receiver) giveUp(ctx context.Context, d *Delivery) error {
	if d.completion.Load() == completed {
		return nil
	}
	return rc.release(ctx, d.Claim)
}

// contained turns a store's panic into an error. The store then counts as down.
func (rc *Receiver) contained(call func() error) error {
	var err error
	if fault := rc.faults.Guard(inStore, func() { err = call() }); fault != nil {
		return &panicError{fault}
	}
	return err
}

// ErrLeaseLost is the cause with which a handler's context ends when it loses
// its claim. Either another instance took the claim over, or the receiver could
// not renew it in time. Another instance may be handling the same delivery.
var ErrLeaseLost = errors.New("receiver: the claim's lease was lost while the handler ran")

// leaseRenewer renews a claim at every third of its lease until it is stopped.
// It needs one timer, and a goroutine only when the timer fires. Most handlers
// finish before that.
type leaseRenewer struct {
	rc      *Receiver
	request context.Context // supplies context values
	handler *lazyContext    // canceled when the lease is lost
	d       *Delivery

	stopped atomic.Bool
	call    atomic.Pointer[lazyContext] // the running renewal, or nil
	mu      sync.Mutex                  // held during a renewal, so that stop can wait for it
	timer   *time.Timer
	until   time.Time // end of the lease unless it is renewed
	failed  error     // of the last renewal
}

// startRenewing starts to renew a claim that was just granted.
func (rc *Receiver) startRenewing(request context.Context, h *handling, g grant) *leaseRenewer {
	lr := &h.renewer
	lr.rc, lr.request, lr.handler, lr.d, lr.until = rc, request, &h.handler, &h.Delivery, g.asked.Add(rc.lease)
	lr.mu.Lock()
	defer lr.mu.Unlock()
	lr.timer = time.AfterFunc(lr.untilNext(g.took), lr.renew)
	return lr
}

// untilNext returns the time until the next renewal, which is due when a third
// of the lease has passed. The lease counts from the request, because the store
// may have taken long to answer.
func (lr *leaseRenewer) untilNext(took time.Duration) time.Duration {
	return max(lr.rc.lease/3-took, 0)
}

func (lr *leaseRenewer) renew() {
	lr.mu.Lock()
	defer lr.mu.Unlock()
	asked := time.Now()
	call := lr.rc.storeContext(lr.request, asked)
	defer call.end(nil)
	if asked.Before(lr.until) && lr.until.Before(call.deadline) {
		call.deadline = lr.until
	}
	lr.call.Store(call)
	if lr.stopped.Load() { // checked after call is stored, so that stop always finds it
		return
	}
	switch {
	case lr.d.completion.Load() == completed:
		return
	case lr.d.completion.Load() == notCompleted && !asked.Before(lr.until):
		// The store could hang now, and the handler would learn of it later.
		lr.handler.end(errors.Join(ErrLeaseLost, lr.failed))
		return
	}
	err := lr.renewOnce(call)
	lr.failed = err
	switch {
	case lr.stopped.Load():
	case err != nil && lr.d.completion.Load() != notCompleted:
		// The handler is completing the claim or has just done so. A renewal
		// error then means nothing, because the renewal may have collided with
		// that transaction. If the claim was really lost, the completion fails.
		lr.timer.Reset(lr.rc.lease / 10)
	case err == nil:
		lr.until = asked.Add(lr.rc.lease)
		lr.timer.Reset(lr.untilNext(time.Since(asked)))
	case errors.Is(err, dedupe.ErrLeaseLost) || !time.Now().Before(lr.until):
		lr.handler.end(errors.Join(ErrLeaseLost, err))
	default: // the store may recover before the lease ends
		lr.timer.Reset(min(lr.rc.lease/10, time.Until(lr.until)))
	}
}

// renewOnce renews the claim once. It runs on the timer's goroutine. A panic or
// runtime.Goexit in the store must not end the process, nor skip setting the
// timer again.
func (lr *leaseRenewer) renewOnce(call *lazyContext) (err error) {
	fault := lr.rc.faults.Call(call, inStore, func() { err = lr.rc.store.Renew(call, lr.d.Claim, lr.rc.lease) })
	if fault != nil {
		return &panicError{fault}
	}
	return err
}

// stop ends the renewals. When it returns, no renewal is running. It reports
// whether there was any.
func (lr *leaseRenewer) stop() (renewed bool) {
	lr.stopped.Store(true)
	if call := lr.call.Load(); call != nil {
		call.end(nil) // makes a running renewal return at once
	}
	lr.mu.Lock()
	defer lr.mu.Unlock()
	lr.timer.Stop()
	return lr.call.Load() != nil
}
