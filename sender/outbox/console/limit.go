package console

import (
	"sync"
	"time"
)

const (
	// Actions that resolve names or connect: so many at once, and then one in
	// each interval.
	limitBurst    = 20
	limitInterval = 3 * time.Second
	// limitApps bounds the memory.
	limitApps = 10_000
)

// limiter limits how often an app may do something.
type limiter struct {
	mu   sync.Mutex
	next map[string]time.Time // when the next action would be due at the rate
}

func newLimiter() *limiter { return &limiter{next: map[string]time.Time{}} }

func (l *limiter) allow(app string, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.next) >= limitApps {
		for name, next := range l.next {
			if next.Before(now) {
				delete(l.next, name)
			}
		}
	}
	next := l.next[app]
	if next.Before(now) {
		next = now
	}
	if next.Sub(now) > (limitBurst-1)*limitInterval {
		return false
	}
	l.next[app] = next.Add(limitInterval)
	return true
}
