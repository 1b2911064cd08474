package outbox

import (
	"time"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// WithWorkers sets the number of attempts that this process makes at once.
// Default: 200 ([DefaultWorkers]), at most 5000. Zero is an error.
//
// Endpoints that fail or are slow share half of these slots. They and endpoints
// without a history share seven eighths. So it takes 175 endpoints without a
// history that hang at the same moment to delay another one without a history.
// An endpoint that answers is delayed by none.
func WithWorkers(n int) Option {
	return optionFunc(func(c *config) {
		if n <= 0 || n > maxSlots {
			c.mistake("WithWorkers", "%d: want 1 to %d", n, maxSlots)
		}
		c.workers = n
	})
}

// WithMaxEndpoints sets the number of endpoints that an app can have, including
// disabled ones. Default: 10 ([DefaultMaxEndpoints]), at most 1000. Zero is an
// error.
func WithMaxEndpoints(n int) Option {
	return optionFunc(func(c *config) {
		if n <= 0 || n > 1000 {
			c.mistake("WithMaxEndpoints", "%d: want 1 to 1000", n)
		}
		c.maxEndpoints = n
	})
}

// WithMaxConcurrency sets the number of attempts to one endpoint that a process
// makes at once if EndpointConfig.MaxConcurrency is zero. Default: 10
// ([DefaultMaxConcurrency]). Zero is an error.
func WithMaxConcurrency(n int) Option {
	return optionFunc(func(c *config) {
		if n <= 0 || n > maxSlots {
			c.mistake("WithMaxConcurrency", "%d: want 1 to %d", n, maxSlots)
		}
		c.concurrency = n
	})
}

// WithBreaker sets the circuit breaker that each endpoint has. Default: 5
// failures, 10 s and 5 min. Zero is an error, as is a max under pause.
//
//	after failures failed attempts in a row  no attempt for half to one and a half times pause
//	then                                     one attempt, which probes the endpoint
//	the probe fails                          the next pause is twice as long, up to max
//	the probe succeeds                       1 attempt in the next second, 2 in the one after, … 64 in the seventh
//
// No delivery is lost during a pause. Only the delivery that probes the
// endpoint uses up an attempt.
//
// The end of a pause is stored in the database. Other processes therefore wait
// for it, and so does this process after a restart. Then they probe the
// endpoint in the same way.
func WithBreaker(failures int, pause, max time.Duration) Option {
	return optionFunc(func(c *config) {
		if failures <= 0 || pause <= 0 || max < pause {
			c.mistake("WithBreaker", "%d, %v, %v: want a number and a pause above zero, and a longest pause that is no shorter", failures, pause, max)
		}
		c.breaker = admission.Breaker{Failures: failures, Pause: pause, MaxPause: max}
	})
}
