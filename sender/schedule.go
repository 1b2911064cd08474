package sender

import (
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v4"
)

// Schedule returns the waits between the attempts of one delivery. Each call
// returns a fresh BackOff for one goroutine. The first attempt is made at once,
// and each NextBackOff returns the wait before the next one. [backoff.Stop] and
// any other negative value end the schedule.
//
// Any backoff.BackOff will do. [Platform], [StandardWebhooks] and [Pipeline]
// are ready to use. A Schedule must be safe for concurrent use.
//
// The interface of github.com/cenkalti/backoff/v4 stays in this signature. It
// has two methods, NextBackOff and Reset, which are the same in every major
// version of that library. A BackOff of another version, or a type without that
// library, therefore fits as it is. An interface of our own would be the same
// and would lack the library's schedules.
type Schedule func() backoff.BackOff

// step is a wait and the bound of its random addition. The addition keeps
// senders that failed together from returning together.
type step struct{ wait, jitter time.Duration }

// Platform is for a platform that delivers to its customers. It makes 6
// attempts over about 73 minutes. The first is made at once. These waits
// follow:
//
//	10 s     and up to 5 s at random
//	30 s     and up to 10 s
//	2 min    and up to 30 s
//	10 min   and up to 60 s
//	1 h
func Platform() backoff.BackOff {
	return newSteps(
		step{10 * time.Second, 5 * time.Second},
		step{30 * time.Second, 10 * time.Second},
		step{2 * time.Minute, 30 * time.Second},
		step{10 * time.Minute, time.Minute},
		step{time.Hour, 0},
	)
}

// StandardWebhooks is the schedule that the Standard Webhooks specification
// recommends. It makes 10 attempts over about 76 hours. The first is made at
// once. The waits are 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h,
// each with up to a tenth of it added at random.
func StandardWebhooks() backoff.BackOff {
	waits := []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour,
		14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
	at := make([]step, len(waits))
	for i, w := range waits {
		at[i] = step{w, w / 10}
	}
	return newSteps(at...)
}

// Pipeline is for a CI job, which waits for the result. It is the default. It
// makes 7 attempts over about a minute. The first is made at once. These waits
// follow:
//
//	1 s     and up to 0.5 s at random
//	2 s     and up to 1 s
//	4 s     and up to 2 s
//	8 s     and up to 4 s
//	16 s    and up to 4 s
//	20 s    and up to 4 s
//
// A redirect (3xx) ends it at once with [ErrRejected]. Redirects are never
// followed, so the URL has to change before a retry can succeed.
func Pipeline() backoff.BackOff {
	s := newSteps(
		step{time.Second, 500 * time.Millisecond},
		step{2 * time.Second, time.Second},
		step{4 * time.Second, 2 * time.Second},
		step{8 * time.Second, 4 * time.Second},
		step{16 * time.Second, 4 * time.Second},
		step{20 * time.Second, 4 * time.Second},
	)
	s.stopsAtRedirects = true
	return s
}

// Once makes one attempt and no other.
func Once() backoff.BackOff { return newSteps() }

// Scaled returns schedule with every wait multiplied by factor, from 0 (no
// waits) to 1. It lets demonstrations and tests run the same code in less time.
// Any other factor makes a schedule that [New] refuses.
func Scaled(schedule Schedule, factor float64) Schedule {
	if schedule == nil || !(factor >= 0 && factor <= 1) { // also NaN
		return nil
	}
	return func() backoff.BackOff {
		if b := schedule(); b != nil {
			return &scaled{b, factor}
		}
		return nil
	}
}

type scaled struct {
	backoff.BackOff
	factor float64
}

func (s *scaled) stopsAt(status int) bool { return stopsAt(s.BackOff, status) }

func (s *scaled) NextBackOff() time.Duration {
	d := s.BackOff.NextBackOff()
	if d < 0 {
		return backoff.Stop
	}
	return time.Duration(float64(d) * s.factor)
}

// steps is a fixed list of waits.
type steps struct {
	at   []step
	next int
	rand func(n int64) int64 // a number in [0, n)

	stopsAtRedirects bool
}

func newSteps(at ...step) *steps { return &steps{at: at, rand: rand.Int64N} }

var _ backoff.BackOff = (*steps)(nil)

func (s *steps) Reset() { s.next = 0 }

func (s *steps) stopsAt(status int) bool { return s.stopsAtRedirects && isRedirect(status) }

// stopsAt reports whether a schedule makes no further attempt after an answer
// with this status. Schedules of other packages always make one.
func stopsAt(waits backoff.BackOff, status int) bool {
	s, ok := waits.(interface{ stopsAt(status int) bool })
	return ok && s.stopsAt(status)
}

func (s *steps) NextBackOff() time.Duration {
	if s.next >= len(s.at) {
		return backoff.Stop
	}
	step := s.at[s.next]
	s.next++
	return step.wait + time.Duration(s.rand(int64(step.jitter)+1))
}
