package sim

import (
	"sync"
	"time"
)

// Clock is the wall clock of a machine. It can be wrong by a step, and it can
// drift. Packages that read time.Now read the bubble's time, which is right.
type Clock struct {
	mu    sync.Mutex
	at    time.Time     // when offset was right
	wrong time.Duration // how far the clock was ahead then
	drift float64       // seconds that it gains in a second
}

// NewClock returns a clock that is right.
func NewClock() *Clock { return &Clock{at: time.Now()} }

// Now returns what the clock shows.
func (c *Clock) Now() time.Time { return time.Now().Add(c.Error()) }

// Error returns how far the clock is ahead.
func (c *Clock) Error() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.error()
}

func (c *Clock) error() time.Duration {
	return c.wrong + time.Duration(c.drift*float64(time.Since(c.at)))
}

// Step sets the clock forward or back.
func (c *Clock) Step(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong, c.at = c.error()+d, time.Now()
}

// Drift sets how many seconds the clock gains in a second.
func (c *Clock) Drift(rate float64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong, c.at = c.error(), time.Now()
	c.drift = rate
}

// Set makes the clock right, as NTP does.
func (c *Clock) Set() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong, c.drift, c.at = 0, 0, time.Now()
}
