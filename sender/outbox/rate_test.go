package outbox

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

func (o *inside) slots(endpoint string) *rateSlots { return &rateSlots{o.db, endpoint} }

// take takes a rate slot of an endpoint without a hold.
func (o *inside) take(endpoint string) (bool, time.Duration) {
	o.t.Helper()
	taken, next, err := o.slots(endpoint).Take(o.t.Context(), 0)
	require.NoError(o.t, err)
	return taken, next
}

// lastSlot sets when the last rate slot of an endpoint was taken, by the clock
// of the database.
func (o *inside) lastSlot(endpoint string, ago time.Duration) {
	o.t.Helper()
	o.exec(`UPDATE {schema}outbox_endpoint SET rate_slot_at = `+o.slots(endpoint).now()+` - ? WHERE id = ?`, ago.Microseconds(), endpoint)
}

func about(t *testing.T, want, got time.Duration) {
	t.Helper()
	require.LessOrEqual(t, got, want)
	require.Greater(t, got, want-30*time.Minute)
}

// A slot that nobody has taken in its time is free until the next one. More
// than one is never kept, so that a pause is followed by no burst.
func TestRateSlots_OneIsFreeAfterAPause(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 1.0/3600)
		taken, next := o.take(e)
		require.True(t, taken)
		about(t, time.Hour, next)
		taken, next = o.take(e)
		require.False(t, taken)
		about(t, time.Hour, next)

		o.lastSlot(e, 100*time.Hour)
		taken, next = o.take(e)
		require.True(t, taken)
		about(t, time.Hour, next)
		taken, _ = o.take(e)
		require.False(t, taken)

		o.lastSlot(e, time.Hour+10*time.Minute)
		taken, next = o.take(e)
		require.True(t, taken)
		about(t, time.Hour, next)
		require.Greater(t, next, 55*time.Minute, "the next slot after a late one comes soon")
	})
}

// Slots of a short spacing keep to their times, so that small delays do not
// add up.
func TestRateSlots_SmallDelaysDoNotAddUp(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 1.0/600)
		o.lastSlot(e, 600*time.Second)
		var last, before int64
		read := func(n *int64) {
			require.NoError(t, o.db.QueryRow(t.Context(), `SELECT rate_slot_at FROM {schema}outbox_endpoint`).Scan(n))
		}
		for {
			o.lastSlot(e, 600*time.Second)
			read(&before)
			taken, next := o.take(e)
			require.True(t, taken)
			read(&last)
			if next > 599*time.Second+100*time.Millisecond { // this machine was not slow
				break
			}
		}
		require.Equal(t, before+600_000_000, last)
	})
}

// A hold delays the next slot.
func TestRateSlots_Hold(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 1.0/3600)
		taken, next, err := o.slots(e).Take(t.Context(), admission.MaxHold)
		require.NoError(t, err)
		require.True(t, taken)
		require.Greater(t, next, 30*time.Minute)
		require.LessOrEqual(t, next, time.Hour+admission.MaxHold)
		taken, next = o.take(e)
		require.False(t, taken)
		require.LessOrEqual(t, next, time.Hour+admission.MaxHold)
	})
}

// A clock that was set back does not stop an endpoint for as long, and gives it
// no extra attempt either.
func TestRateSlots_ClockSetBack(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 1.0/3600)
		o.lastSlot(e, -100*time.Hour)
		taken, next := o.take(e)
		require.False(t, taken)
		about(t, time.Hour, next)
		taken, next = o.take(e)
		require.False(t, taken)
		about(t, time.Hour, next)
	})
}

// A new rate counts from the last attempt. No change of an endpoint gives it
// an extra attempt.
func TestRateSlots_ChangesGiveNone(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e, ctx := o.endpoint("shop", 1.0/3600), t.Context()
		taken, _ := o.take(e)
		require.True(t, taken)
		rate := func(r float64) {
			_, err := o.App("shop").UpdateEndpoint(ctx, e, EndpointUpdate{RateLimit: &r})
			require.NoError(t, err)
		}
		rate(1.0 / 7200)
		taken, next := o.take(e)
		require.False(t, taken)
		about(t, 2*time.Hour, next)
		require.NoError(t, o.App("shop").Disable(ctx, e, "a pause"))
		require.NoError(t, o.App("shop").Enable(ctx, e))
		taken, _ = o.take(e)
		require.False(t, taken)
		rate(100_000)
		taken, _ = o.take(e)
		require.True(t, taken)
		rate(0)
		taken, _ = o.take(e) // by a worker that has loaded the old rate
		require.True(t, taken)
		require.NoError(t, o.App("shop").DeleteEndpoint(ctx, e))
		taken, next = o.take(e)
		require.False(t, taken)
		require.Positive(t, next)
	})
}

// Of any number of processes, one gets a slot.
func TestRateSlots_ManyTakers(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 1.0/3600)
		var (
			all sync.WaitGroup
			mu  sync.Mutex
			n   int
		)
		for range 20 {
			all.Go(func() {
				taken, _, err := o.slots(e).Take(t.Context(), 0)
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					t.Error(err)
				} else if taken {
					n++
				}
			})
		}
		all.Wait()
		require.Equal(t, 1, n)
	})
}
