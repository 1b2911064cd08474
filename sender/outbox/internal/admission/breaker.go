package admission

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/deployhook/deployhook/internal/timemath"
)

// When a breaker closes, one attempt may start in the first second, two in the
// second, then four, and so on. A whole ramp has 127 attempts. After it the
// endpoint's window is limit enough.
const (
	rampStep = time.Second
	rampTime = 7 * rampStep
)

// Breaker configures circuit breakers.
type Breaker struct {
	// Failures is the number of consecutive failures that opens a breaker.
	Failures int
	// Pause is about how long a breaker stays open. It doubles with every failed
	// probe, up to MaxPause.
	Pause, MaxPause time.Duration
}

// Plausible reports whether a breaker can be open until then. A time too far
// ahead comes from a wrong clock.
func (b Breaker) Plausible(until, now time.Time) bool {
	return until.After(now) && until.Sub(now) <= timemath.Times(b.MaxPause, 2)
}

// pause returns half to one and a half times the nominal pause, so that
// endpoints that failed together are not tried together again.
func (b Breaker) pause(openings int) time.Duration {
	d := b.Pause
	for range min(openings, 16) {
		d = min(timemath.Times(d, 2), b.MaxPause)
	}
	return timemath.Add(d/2, rand.N(d))
}

// breaker is the circuit breaker of one endpoint.
type breaker struct {
	openings  int       // consecutive ones, for the next pause; 0 if the breaker is closed
	openUntil time.Time // after this it is half-open
	probing   bool      // a probe is in flight
	remote    bool      // another process opened it
	ended     time.Time // openUntil of the last one that a success has closed

	rampStart time.Time
	started   int // attempts since rampStart
}

// blocks reports whether the breaker is open, or half-open with a probe in
// flight.
func (b *breaker) blocks(now time.Time) bool {
	return b.openings > 0 && (now.Before(b.openUntil) || b.probing)
}

func (b *breaker) open(now time.Time, pause time.Duration) {
	b.openUntil, b.openings = now.Add(pause), b.openings+1
}

func (b *breaker) close() {
	b.openings, b.openUntil, b.remote = 0, time.Time{}, false
}

// succeeded closes an open breaker and starts the ramp.
func (b *breaker) succeeded(now time.Time) {
	b.ended = later(b.ended, b.openUntil)
	b.close()
	b.rampStart, b.started = now, 0
}

// adopt opens a closed breaker because another process did, perhaps one that
// was stopped since. A breaker whose pause is over is half-open. The caller may
// have read it before the success that has closed it.
func (b *breaker) adopt(until, now time.Time, c Breaker) {
	if b.openings == 0 && until.After(b.ended) && (c.Plausible(until, now) || !until.After(now)) {
		b.openUntil, b.openings, b.remote = until, 1, true
	}
}

// allowance returns how many attempts the ramp lets start now.
func (b *breaker) allowance(now time.Time) int {
	elapsed := timemath.Elapsed(b.rampStart, now)
	if elapsed >= rampTime {
		return math.MaxInt
	}
	return max(1<<(elapsed/rampStep+1)-1-b.started, 0)
}
