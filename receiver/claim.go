package receiver

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/dedupe"
)

// key is what a delivery is remembered by: the ID if it is signed, else the hash of the signed body; never a header that
// is only the peer's word. Both are scoped by the source's name and the principal.
func (rc *Receiver) key(d *Delivery) dedupe.Key {
	if d.ID != "" {
		return dedupe.NewKey(rc.source, d.Principal, d.ID)
	}
	sum := sha256.Sum256(d.Body)
	// No scheme of package signer takes an ID with a dot in it, so this can't be one.
	return dedupe.NewKey(rc.source, d.Principal, "sha256."+hex.EncodeToString(sum[:]))
}

// claim asks for the right to handle d. It does not end with the request: a claim that the store has granted while we
// had stopped listening would be in nobody's hands.
func (rc *Receiver) claim(ctx context.Context, d *Delivery, now time.Time) (dedupe.Claim, error) {
	call := rc.storeContext(ctx, now)
	defer call.end(nil)
	var c dedupe.Claim
	err := rc.contained(func() (err error) {
		c, err = rc.store.Claim(call, rc.key(d), rc.lease)
		return err
	})
	return c, err
}

// complete remembers the delivery. It does so even when the request's context has ended: the effect is there.
func (rc *Receiver) complete(ctx context.Context, c dedupe.Claim) error {
	call := rc.storeContext(ctx, time.Now())
	defer call.end(nil)
	return rc.contained(func() error { return rc.store.Complete(call, c) })
}

// release lets a retry run.
func (rc *Receiver) release(ctx context.Context, c dedupe.Claim) error {
	call := rc.storeContext(ctx, time.Now())
	defer call.end(nil)
	return rc.contained(func() error { return rc.store.Release(call, c) })
}

// giveUp releases the claim of a handler that failed, unless the handler has completed it in spite of that: what it
// committed has happened.
func (rc *Receiver) giveUp(ctx context.Context, d *Delivery) error {
	if d.completion.Load() == completed {
		return nil
	}
	return rc.release(ctx, d.Claim)
}

// contained turns a store's panic into an error: the store is then as good as down.
func (rc *Receiver) contained(call func() error) error {
	var err error
	if fault := rc.faults.Guard(inStore, func() { err = call() }); fault != nil {
		return &panicError{fault}
	}
	return err
}

// ErrLeaseLost is the cause of a handler's context when its claim was taken over by another instance, or could not be
// renewed until its end: whatever the handler still does, another may be doing too.
var ErrLeaseLost = errors.New("receiver: the claim's lease was lost while the handler ran")

// keeper renews a claim at every third of its lease, until it is stopped. It costs a timer, and a goroutine only when that
// fires, so that short handlers, nearly all of them, pay next to nothing.
type keeper struct {
	rc      *Receiver
	request context.Context // for its values
	handler *lazyContext    // ended when the lease is lost
	d       *Delivery

	stopped atomic.Bool
	call    atomic.Pointer[lazyContext] // the renewal under way
	mu      sync.Mutex                  // held while a renewal runs, so that stop can wait for it
	timer   *time.Timer
	until   time.Time // when the lease ends unless renewed
}

// keep starts to renew a claim that was asked for at the given time.
func (rc *Receiver) keep(request context.Context, d *Delivery, asked time.Time, handler *lazyContext) *keeper {
	k := &keeper{rc: rc, request: request, handler: handler, d: d, until: asked.Add(rc.lease)}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer = time.AfterFunc(k.next(asked), k.renew)
	return k
}

// next is how long to wait until a third of a lease is over that was asked for at
// the given time. The lease may have begun then, however late the answer came.
func (k *keeper) next(asked time.Time) time.Duration {
	return max(k.rc.lease/3-time.Since(asked), 0)
}

func (k *keeper) renew() {
	k.mu.Lock()
	defer k.mu.Unlock()
	asked := time.Now()
	call := k.rc.storeContext(k.request, asked)
	defer call.end(nil)
	if asked.Before(k.until) && k.until.Before(call.deadline) {
		call.deadline = k.until // later, another instance may hold the claim, and the handler must have been told
	}
	k.call.Store(call)
	if k.stopped.Load() { // looked at after call is there to be ended, so that stop never misses one
		return
	}
	if k.d.completion.Load() == completed {
		return
	}
	err := k.ask(call)
	switch {
	case k.stopped.Load():
	case err != nil && k.d.completion.Load() != notCompleted:
		// The handler is completing the claim itself, or just has: a renewal that ran into its transaction says nothing. If
		// the claim was lost all the same, the completion fails.
		k.timer.Reset(k.rc.lease / 10)
	case err == nil:
		k.until = asked.Add(k.rc.lease)
		k.timer.Reset(k.next(asked))
	case errors.Is(err, dedupe.ErrLeaseLost) || !time.Now().Before(k.until):
		k.handler.end(errors.Join(ErrLeaseLost, err))
	default: // the store may come back before the lease ends
		k.timer.Reset(min(k.rc.lease/10, time.Until(k.until)))
	}
}

// ask renews the claim. A renewal runs on the timer's goroutine, which must neither
// end the process nor end before the timer is set again.
func (k *keeper) ask(call *lazyContext) (err error) {
	fault := k.rc.faults.Call(call, inStore, func() { err = k.rc.store.Renew(call, k.d.Claim, k.rc.lease) })
	if fault != nil {
		return &panicError{fault}
	}
	return err
}

// stop ends the renewals and returns when none is running any more.
func (k *keeper) stop() {
	k.stopped.Store(true)
	if call := k.call.Load(); call != nil {
		call.end(nil) // a renewal under way gives up at once
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.timer.Stop()
}
