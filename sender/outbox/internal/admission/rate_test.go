package admission_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// slots are rate slots in memory.
type slots struct {
	next                      time.Time
	interval                  time.Duration
	reserved, recorded, trims int
	changed                   bool // the delivery or the endpoint
	trimTo                    time.Time
	err                       error
}

func (s *slots) Reserve(context.Context) (time.Time, error) {
	if s.changed {
		return time.Time{}, admission.ErrChanged
	}
	s.reserved++
	slot := s.next
	s.next = slot.Add(s.interval)
	return slot, s.err
}

func (s *slots) Record(context.Context, time.Time) (bool, error) {
	s.recorded++
	return !s.changed, s.err
}

func (s *slots) Trim(context.Context) (bool, error) {
	s.trims++
	if s.trimTo.IsZero() {
		return false, s.err
	}
	s.next = s.trimTo
	return true, s.err
}

// limited is a request to an endpoint with a rate limit whose next slot is the
// given time away.
func limited(in time.Duration) (admission.Request, *slots) {
	s := &slots{next: time.Now().Add(in), interval: time.Minute}
	r := endpoint("a", 4)
	r.Interval, r.Slots = s.interval, s
	return r, s
}

func TestRate_WaitsForAnEarlySlotInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(50 * time.Millisecond)
		begin := time.Now()
		l.admit(r, 1).Release(admission.Succeeded)
		require.Equal(t, 50*time.Millisecond, time.Since(begin))
		require.Zero(t, s.recorded)
	})
}

func TestRate_RecordsALateSlot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute)
		require.Equal(t, time.Minute, l.snooze(r, 1))
		require.Equal(t, 1, s.recorded)
	})
}

// A recorded slot may be used a little late. It is not used much later, because
// then the jobs with missed slots would all start at once.
func TestRate_SlotLifetime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute)
		r.RateSlot = time.Now().Add(-admission.SlotLifetime)
		l.admit(r, 1).Release(admission.Succeeded)
		require.Zero(t, s.reserved)
		r.RateSlot = r.RateSlot.Add(-1)
		l.snooze(r, 1)
		require.Equal(t, 1, s.reserved)
	})
}

// An open breaker reserves no slots, and neither does one with a probe in
// flight.
func TestRate_OpenBreakerReservesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(0)
		s.interval = 0
		until := l.open(r)
		reserved := s.reserved
		require.GreaterOrEqual(t, l.snooze(r, 1), time.Until(until))
		time.Sleep(time.Until(until))
		require.Equal(t, reserved, s.reserved)
		probe := l.admit(r, 2)
		require.Equal(t, reserved+1, s.reserved)
		l.snooze(r, 1)
		require.Equal(t, reserved+1, s.reserved)
		probe.Release(admission.Succeeded)
	})
}

// A request that is out of date is made again soon.
func TestRate_OutdatedRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute)
		s.changed = true
		require.Equal(t, admission.MinSnooze, l.snooze(r, 1))
		require.Zero(t, s.recorded)
		r.RateSlot = s.next
		require.Equal(t, admission.MinSnooze, l.snooze(r, 1))
		require.Equal(t, 1, s.recorded)
	})
}

// Slots that are far in the future are trimmed, at most once a second.
func TestRate_Trims(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(admission.SlotLifetime + time.Minute)
		l.snooze(r, 1)
		require.Zero(t, s.trims, "hardly later than the next")
		l.snooze(r, 1)
		require.Equal(t, 1, s.trims)
		l.snooze(r, 1)
		require.Equal(t, 1, s.trims)
		time.Sleep(time.Second)
		s.trimTo = time.Now()
		l.admit(r, 1).Release(admission.Succeeded)
		require.Equal(t, 2, s.trims)
	})
}

func TestRate_Errors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 100)
		r, s := limited(time.Minute)
		s.err = errors.New("the database is down")
		_, _, err := l.Admit(t.Context(), &r)
		require.ErrorIs(t, err, s.err)
		r.RateSlot = s.next
		_, _, err = l.Admit(t.Context(), &r)
		require.ErrorIs(t, err, s.err)
		stopped, stop := context.WithCancelCause(t.Context())
		stop(errors.New("stopped"))
		r.RateSlot = time.Now().Add(time.Millisecond)
		_, _, err = l.Admit(stopped, &r)
		require.EqualError(t, err, "stopped")
	})
}
