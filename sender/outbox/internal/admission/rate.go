package admission

import (
	"context"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

const (
	// maxRateWait is the longest that a job waits in memory for a rate slot.
	maxRateWait = 500 * time.Millisecond
	// maxRateQueue is the number of jobs of an endpoint that do so at once.
	maxRateQueue = 32
	// minTakeTime is how long it may always take to get a slot.
	minTakeTime = 5 * time.Millisecond
	// MaxHold is the longest hold of RateSlots.Take.
	MaxHold = 10 * time.Second
	// maxTakes is the number of times that a job tries to get a slot.
	maxTakes = 3
)

// RateSlots are the slots of an endpoint's rate limit. All processes share
// them.
type RateSlots interface {
	// Take takes a slot for an attempt that follows at once. It reports whether
	// there was a free one, and in what time the next one is free. The next one is
	// later by hold, since the attempt may be late by that time. A hold is at most
	// MaxHold.
	Take(ctx context.Context, hold time.Duration) (taken bool, next time.Duration, err error)
}

// pace is what a process knows of the rate limit of an endpoint.
type pace struct {
	interval time.Duration // 0 without a limit
	freeAt   time.Time     // when the next slot is free, as far as known
	hold     time.Duration // see RateSlots.Take
	queued   int           // jobs that wait in memory for a slot
	take     chan struct{} // held by the first of them
}

// wait estimates for how long the next job waits for a slot.
func (p *pace) wait(now time.Time) time.Duration {
	return timemath.Add(p.freeAt.Sub(now), timemath.Times(p.interval, p.queued))
}

// canTake returns how many of n jobs get a slot within the given time.
func (p *pace) canTake(n int, now time.Time, within time.Duration) int {
	if p.interval <= 0 {
		return n
	}
	first := max(p.freeAt.Sub(now), 0)
	if first > within {
		return 0
	}
	slots := int(min((within-first)/p.interval, maxRateQueue-1)) + 1
	return min(n, slots-p.queued)
}

// admitPaced admits an attempt to an endpoint with a rate limit. It takes a
// slot last, right before the attempt, so that an attempt which has to wait for
// anything else does not use an old slot.
func (l *Limiter) admitPaced(ctx context.Context, r *Request) (*Permit, time.Duration, error) {
	e, snooze := l.queue(r)
	if snooze > 0 {
		return nil, snooze, nil
	}
	defer l.unqueue(e)
	select {
	case e.pace.take <- struct{}{}:
		defer func() { <-e.pace.take }()
	case <-ctx.Done():
		return nil, 0, context.Cause(ctx)
	}
	for range maxTakes {
		wait := l.untilSlot(e)
		if wait > maxRateWait {
			break
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, 0, err
		}
		p, snooze, err := l.admit(ctx, r)
		if p == nil {
			return nil, snooze, err
		}
		if ok, err := l.takeSlot(ctx, p, r); ok {
			return p, 0, nil
		} else if err != nil {
			return nil, 0, err
		}
	}
	return nil, l.snoozePaced(e), nil
}

// queue lets a job wait in memory for a slot, or returns a snooze.
func (l *Limiter) queue(r *Request) (*endpoint, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, now := l.endpoint(r), l.Clock()
	if e.breaker.blocks(now) || e.pace.queued >= maxRateQueue || e.pace.wait(now) > maxRateWait {
		return e, l.snooze(e, now)
	}
	e.pace.queued++
	return e, 0
}

func (l *Limiter) unqueue(e *endpoint) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e.pace.queued--
}

func (l *Limiter) untilSlot(e *endpoint) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return e.pace.freeAt.Sub(l.Clock())
}

func (l *Limiter) snoozePaced(e *endpoint) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.snooze(e, l.Clock())
}

// takeSlot takes a slot for a permit, or releases the permit.
//
// An attempt may be as late after its slot as the next slot is. Then attempts
// stay in the order of their slots, and any second has at most one more than
// the limit. If the database is slower than that, the slot is not used, and
// slots become rarer.
func (l *Limiter) takeSlot(ctx context.Context, p *Permit, r *Request) (bool, error) {
	hold, begin := l.hold(p.endpoint), time.Now()
	taken, next, err := r.Slots.Take(ctx, hold)
	took := time.Since(begin)
	if err == nil {
		l.slotTaken(p, next, took)
	}
	if err != nil || !taken || took > max(r.Interval, minTakeTime)+hold {
		p.Release(Inconclusive)
		return false, err
	}
	return true, nil
}

func (l *Limiter) hold(e *endpoint) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return e.pace.hold
}

// slotTaken notes when the next slot is free and how long it took to ask. The
// attempt begins now.
func (l *Limiter) slotTaken(p *Permit, next, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now, e := l.Clock(), p.endpoint
	e.pace.freeAt = now.Add(next)
	e.pace.hold = min(max(timemath.Add(took, took/4)-max(e.pace.interval, minTakeTime), 0), MaxHold)
	e.removeStart(p.start)
	p.start = now
	e.starts = append(e.starts, now)
}

func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
