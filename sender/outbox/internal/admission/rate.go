package admission

import (
	"context"
	"errors"
	"time"
)

const (
	// maxRateWait is the longest that a job waits in memory for its rate slot.
	maxRateWait = 50 * time.Millisecond
	// SlotLifetime is how long a rate slot can be used after its time.
	SlotLifetime = 10 * time.Second
	// trimInterval is the shortest time between two trims of an endpoint's slots.
	trimInterval = time.Second
)

// ErrChanged is returned by [RateSlots] if the endpoint has changed since the
// request was made. Its rate may have changed, too.
var ErrChanged = errors.New("admission: the endpoint has changed")

// RateSlots are the slots of an endpoint's rate limit, for one delivery. All
// processes share the slots of an endpoint.
type RateSlots interface {
	// Reserve returns the next free slot. Slots in the past are lost, so that an
	// idle endpoint gets no burst.
	Reserve(ctx context.Context) (time.Time, error)
	// Record stores the slot of the delivery, which uses it when it is due.
	// It reports whether the delivery and the endpoint still were as requested.
	Record(ctx context.Context, slot time.Time) (bool, error)
	// Trim frees the slots that are later than any that a waiting delivery could
	// need. It reports whether there were any.
	Trim(ctx context.Context) (bool, error)
}

// pace waits for the rate slot of a request, or returns for how long the job is
// to be snoozed until then. A job whose request is out of date returns soon.
func (l *Limiter) pace(ctx context.Context, r *Request) (time.Duration, error) {
	if snooze := l.snoozeIfBlocked(r); snooze > 0 {
		return snooze, nil
	}
	slot := r.RateSlot
	if slot.IsZero() || time.Since(slot) > SlotLifetime {
		var err error
		if slot, err = l.nextSlot(ctx, r); errors.Is(err, ErrChanged) {
			return MinSnooze, nil
		} else if err != nil {
			return 0, err
		}
	}
	wait := time.Until(slot)
	if wait > maxRateWait {
		if recorded, err := r.Slots.Record(ctx, slot); err != nil || recorded {
			return wait, err
		}
		return MinSnooze, nil
	}
	if wait <= 0 {
		return 0, nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0, nil
	case <-ctx.Done():
		return 0, context.Cause(ctx)
	}
}

// nextSlot reserves a slot. One job of an endpoint does so at a time, so that
// none holds a late slot while the slots are trimmed.
func (l *Limiter) nextSlot(ctx context.Context, r *Request) (time.Time, error) {
	reserve := l.reserve(r)
	select {
	case reserve <- struct{}{}:
		defer func() { <-reserve }()
	case <-ctx.Done():
		return time.Time{}, context.Cause(ctx)
	}
	slot, err := r.Slots.Reserve(ctx)
	if err != nil || time.Until(slot) <= SlotLifetime+r.Interval || !l.mayTrim(r) {
		return slot, err
	}
	if trimmed, err := r.Slots.Trim(ctx); err != nil || !trimmed {
		return slot, err
	}
	return r.Slots.Reserve(ctx)
}

func (l *Limiter) reserve(r *Request) chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.endpoint(r).reserve
}

// mayTrim reports whether enough time has passed since the last trim.
func (l *Limiter) mayTrim(r *Request) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.endpoint(r)
	if e.used.Sub(e.trimmed) < trimInterval {
		return false
	}
	e.trimmed = e.used
	return true
}
