package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverdb"
	"github.com/deployhook/deployhook/sender/outbox/internal/admission"
)

// reserve reserves one more rate slot of the delivery's endpoint.
func (o *inside) reserve(d *loaded) time.Time {
	o.t.Helper()
	at, err := o.slots(d).Reserve(o.t.Context())
	require.NoError(o.t, err)
	return at
}

// recorded stores that a delivery has a rate slot.
func (o *inside) recorded(id string, slot time.Time) {
	o.t.Helper()
	d := o.loaded(id)
	r := &result{id: id, job: d.job, endpoint: d.endpoint, version: d.version, nextAt: slot, rateSlot: slot}
	o.write(r)
	require.True(o.t, r.counted)
}

func (o *inside) slots(d *loaded) admission.RateSlots { return o.worker.request(d).Slots }

// admit reports whether an attempt may be made, and otherwise for how long the
// job is to be snoozed.
func (o *inside) admit(d *loaded) (bool, time.Duration) {
	o.t.Helper()
	p, snooze, err := o.limiter.Admit(o.t.Context(), o.worker.request(d))
	require.NoError(o.t, err)
	if p != nil {
		p.Release(admission.Inconclusive)
	}
	return p != nil, snooze
}

// Slots come one after another. Unused ones are lost, so that an idle endpoint
// gets no burst.
func TestRateSlots_ReservedOneAfterAnother(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 1.0/60)
		d := o.loaded(o.publishOne("shop"))
		before := stamp(time.Now())
		first := o.reserve(d)
		require.WithinRange(t, first, before, time.Now())
		require.Equal(t, first.Add(time.Minute), o.reserve(d))
		require.Equal(t, first.Add(2*time.Minute), o.reserve(d))
		o.exec(`UPDATE {schema}outbox_endpoint SET rate_slot_at = rate_slot_at - 7200000000 WHERE id = ?`, e)
		begin := stamp(time.Now())
		require.False(t, o.reserve(d).Before(begin))

		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{Description: new("changed")})
		require.NoError(t, err)
		_, err = o.slots(d).Reserve(t.Context())
		require.ErrorIs(t, err, admission.ErrChanged, "the rate may be another")
		require.NoError(t, o.App("shop").DeleteEndpoint(t.Context(), e))
		_, err = o.slots(d).Reserve(t.Context())
		require.ErrorIs(t, err, admission.ErrChanged)
	})
}

// A recorded slot is used, also somewhat late. It is not used much later, or
// all missed ones would be used at once.
func TestRateSlots_RecordedSlotIsUsed(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 1.0/60)
		d := o.loaded(o.publishOne("shop"))
		next := o.reserve(d).Add(time.Minute)
		d.rateSlot = time.Now().Add(-time.Millisecond)
		ok, _ := o.admit(d)
		require.True(t, ok)
		require.Equal(t, next, o.reserve(d), "it has reserved one more slot")

		d.rateSlot = time.Now().Add(-admission.SlotLifetime - time.Millisecond)
		o.exec(`UPDATE {schema}outbox_endpoint SET rate_slot_at = 0`)
		o.admit(d)
		var slot int64
		require.NoError(t, o.db.QueryRow(t.Context(), `SELECT rate_slot_at FROM {schema}outbox_endpoint`).Scan(&slot))
		require.NotZero(t, slot, "no slot was reserved")
	})
}

// While its breaker is open, an endpoint's deliveries reserve no slots, which
// would remain unused.
func TestRateSlots_OpenBreakerReservesNone(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 1.0/60)
		d := o.loaded(o.publishOne("shop"))
		d.breakerOpenUntil = time.Now().Add(5 * time.Minute)
		_, snooze := o.admit(d)
		require.Greater(t, snooze, 2*time.Minute)
		require.False(t, o.reserve(d).After(time.Now()))
	})
}

// A worker that could not record its slot soon looks at the delivery again.
func TestRateSlots_UnrecordedSlotIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 1.0/3600)
		d := o.loaded(o.publishOne("shop"))
		o.reserve(d)
		o.replay(d.id)
		_, snooze := o.admit(d)
		require.Equal(t, admission.MinSnooze, snooze)
		o.recorded(o.publishOne("shop"), time.Now().Add(time.Hour)) // so that the slots are needed
		d = o.loaded(d.id)
		_, snooze = o.admit(d)
		require.Greater(t, snooze, 30*time.Minute)
		require.NotZero(t, o.loaded(d.id).rateSlot)
	})
}

// Slots that no delivery needs are freed. All slots up to the last recorded one
// are needed, and one more for each delivery that is about to reserve one.
func TestRateSlots_TrimKeepsNeededSlots(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 1.0/60)
		in := func(minutes int) time.Time { return stamp(time.Now().Add(time.Duration(minutes) * time.Minute)) }
		due, waits, canceled, self, retry := o.publishOne("shop"), o.publishOne("shop"), o.publishOne("shop"), o.publishOne("shop"), o.publishOne("shop")
		last := in(10)
		o.recorded(waits, last)
		o.recorded(canceled, in(30))
		o.recorded(self, in(40))
		o.write(o.loaded(retry).failed(time.Now(), in(50)))
		d := o.loaded(canceled)
		o.write(&result{id: d.id, job: d.job, state: Canceled, doneAt: time.Now()})
		o.exec(`UPDATE {schema}outbox_delivery SET rate_slot_at = ? WHERE id = ?`, micros(in(30)), canceled)
		d = o.loaded(self)
		other := o.endpoint("other", 1.0/60)
		o.recorded(o.publishOne("other"), in(50))
		set := func(at time.Time) {
			o.exec(`UPDATE {schema}outbox_endpoint SET rate_slot_at = ?`, micros(at))
		}
		want := last.Add(time.Minute)

		set(want.Add(time.Minute + admission.SlotLifetime)) // hardly later than that
		trimmed, err := o.slots(d).Trim(t.Context())
		require.NoError(t, err)
		require.False(t, trimmed)
		set(in(60))
		trimmed, err = o.slots(d).Trim(t.Context())
		require.NoError(t, err)
		require.True(t, trimmed)
		require.Equal(t, want, o.reserve(d))
		require.Equal(t, Pending, o.delivery(due).State)
		var slot int64
		require.NoError(t, o.db.QueryRow(t.Context(), `SELECT rate_slot_at FROM {schema}outbox_endpoint WHERE id = ?`, other).Scan(&slot))
		require.Greater(t, time.Until(fromMicros(slot)), 50*time.Minute, "the other endpoint's were freed")
	})
}

// After a change of the rate, deliveries with a slot get a new one. Nothing
// changes for those that wait for something else.
func TestRateSlots_NewRateResets(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e, slow := o.endpoint("shop", 1.0/3600), 1.0/60
		o.endpoint("other", 1.0/3600)
		change := map[string]func(endpoint string){
			"rate": func(endpoint string) {
				_, err := o.App("shop").UpdateEndpoint(t.Context(), endpoint, EndpointUpdate{RateLimit: &slow})
				require.NoError(t, err)
			},
			"enabled": func(endpoint string) { require.NoError(t, o.App("shop").Enable(t.Context(), endpoint)) },
		}
		for _, name := range []string{"rate", "enabled"} {
			limited, retry, others := o.publishOne("shop"), o.publishOne("shop"), o.publishOne("other")
			in := time.Now().Add(time.Hour)
			o.reserve(o.loaded(limited))
			o.recorded(limited, in)
			o.recorded(others, in)
			o.write(o.loaded(retry).failed(time.Now(), in))
			change[name](e)
			d := o.loaded(limited)
			require.Zero(t, d.rateSlot, name)
			require.Less(t, time.Until(d.nextAt), time.Minute, name)
			require.False(t, o.reserve(d).After(time.Now()), name)
			require.Equal(t, stamp(in), o.loaded(retry).nextAt, "%s: the schedule's pause is gone", name)
			require.Equal(t, stamp(in), o.loaded(others).rateSlot, name)
		}
	})
}

// A change of the rate waits for a slot of the old rate that is being recorded,
// and then frees it.
func TestRateSlots_ChangeWaitsForARecord(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() == riverdb.SQLite {
			return // which has one writer at a time
		}
		e, fast := o.endpoint("shop", 1.0/3600), 1000.0
		d := o.loaded(o.publishOne("shop"))
		slot := time.Now().Add(time.Hour)
		waiting := func(want int64) func() bool {
			return func() bool {
				var n int64
				err := o.db.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
				return err == nil && n == want
			}
		}
		written, updated := make(chan error, 1), make(chan error, 1)
		require.NoError(t, o.db.InTx(t.Context(), func(ctx context.Context, tx *riverdb.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE {schema}outbox_delivery SET size = size WHERE id = ?`, d.id); err != nil {
				return err
			}
			go func() {
				r := &result{id: d.id, job: d.job, endpoint: e, version: d.version, nextAt: slot, rateSlot: slot}
				_, err := o.worker.recorder.save(context.Background(), []*result{r})
				written <- err
			}()
			require.Eventually(t, waiting(1), hangLimit, 10*time.Millisecond, "the slot waits for the delivery")
			go func() {
				_, err := o.App("shop").UpdateEndpoint(context.Background(), e, EndpointUpdate{RateLimit: &fast})
				updated <- err
			}()
			require.Eventually(t, waiting(2), hangLimit, 10*time.Millisecond, "the change waits for the slot")
			return nil
		}))
		require.NoError(t, <-written)
		require.NoError(t, <-updated)
		now := o.loaded(d.id)
		require.Zero(t, now.rateSlot)
		require.Less(t, time.Until(now.nextAt), time.Minute)
	})
}
