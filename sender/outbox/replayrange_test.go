package outbox

import (
	"context"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A replay clears how the delivery ended, and records which replay it belongs
// to.
func TestAReplayBeginsAnew(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		id := o.deadEarlier(time.Minute)
		before := o.delivery(id)
		require.NotEmpty(t, before.LastError)
		s, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{})
		require.NoError(t, err)
		o.write(o.loaded(id).failed(time.Now(), time.Now().Add(time.Hour)))
		o.replay(id)
		d := o.delivery(id)
		require.Equal(t, Pending, d.State)
		require.Zero(t, d.DoneAt, "it would be pruned")
		require.Empty(t, d.LastError)
		require.Less(t, time.Until(d.NextAt), time.Minute)
		require.Zero(t, o.loaded(id).step)
		require.Equal(t, 2, d.Replays)
		require.Equal(t, before.Body, d.Body)
		require.Equal(t, before.EventID, d.EventID)
		s, err = o.App("shop").ReplayStatus(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, 1, s.Pending, "the replay of the range has lost it")

		require.NoError(t, o.App("shop").Disable(t.Context(), e, "test"))
		require.ErrorIs(t, o.App("shop").Replay(t.Context(), id), ErrEndpointDisabled)
		require.Equal(t, Canceled, o.delivery(id).State)
		require.NoError(t, o.App("shop").DeleteEndpoint(t.Context(), e))
		require.ErrorIs(t, o.App("shop").Replay(t.Context(), id), ErrUnknownEndpoint)
		require.Equal(t, Canceled, o.delivery(id).State)
	})
}

// Without a filter by state, dead and canceled deliveries are replayed, but
// neither delivered nor stale ones.
func TestWhatARangeIsUnlessItSaysSo(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		ids := map[State]string{}
		for _, s := range []State{Failed, Canceled, Delivered, Superseded, Pending} {
			ids[s] = o.publishOne("shop")
			o.exec(`UPDATE {schema}outbox_delivery SET state = ?, done_at = 1 WHERE id = ?`, string(s), ids[s])
		}
		s, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, 2, s.Scheduled)
		for state, id := range ids {
			require.Equal(t, state == Failed || state == Canceled, o.delivery(id).Replays == 1, state)
		}
	})
}

func TestReplayRatesAreBounded(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		for _, rate := range []float64{0, -1, math.NaN(), math.Inf(1), math.Inf(-1), 2 * maxRate, 1e-9} {
			_, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{}, WithReplayRate(rate))
			var fault *FieldError
			require.ErrorAs(t, err, &fault, "%v", rate)
			require.Equal(t, "WithReplayRate", fault.Field)
		}
	})
}

// dueTimes are when deliveries of a replay come, endpoint by endpoint.
func (o *inside) dueTimes(replay string) map[string][]time.Time {
	o.t.Helper()
	times := map[string][]time.Time{}
	for cursor := ""; ; {
		page, err := o.Deliveries(o.t.Context(), DeliveryFilter{Replay: replay}, Page{Limit: MaxPageLimit, Cursor: cursor})
		require.NoError(o.t, err)
		for _, d := range page.Items {
			times[d.Endpoint] = append(times[d.Endpoint], d.NextAt)
		}
		if cursor = page.Next; cursor == "" {
			return times
		}
	}
}

// Each endpoint gets its deliveries at the pace that the replay started with.
// This holds across batches, after an interruption, and with other waiting
// deliveries. Only deliveries that existed at the start are replayed.
func TestAReplayKeepsItsPaceAcrossBatches(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		a, b := o.endpoint("shop", 0), o.endpoint("shop", 0)
		waits := o.publishOne("shop")
		o.exec(`UPDATE {schema}outbox_delivery SET next_at = ? WHERE id = ?`, micros(time.Now().Add(9*time.Hour)), waits)
		const each = 150
		for range each {
			o.publishOne("shop")
		}
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'failed', done_at = 1, next_at = 0 WHERE id <> ?`, waits)
		later := ""
		ctx, stop := context.WithCancel(t.Context())
		var id string
		begin := stamp(time.Now())
		_, err := o.App("shop").ReplayRange(ctx, DeliveryFilter{}, WithReplayRate(1), WithReplayProgress(func(s ReplayStatus) {
			id = s.ID
			later = o.publishOne("shop")
			o.exec(`UPDATE {schema}outbox_delivery SET state = 'failed', done_at = 1 WHERE event = (SELECT event FROM {schema}outbox_delivery WHERE id = ?)`, later)
			stop()
		}))
		require.ErrorIs(t, err, context.Canceled)
		s, err := o.App("shop").ResumeReplay(t.Context(), id, WithReplayRate(1000))
		require.NoError(t, err)
		require.True(t, s.Complete)
		// One of the first event's two deliveries is waiting.
		require.Equal(t, 2*each+1, s.Scheduled)
		require.Equal(t, Failed, o.delivery(later).State, "it was published after the replay had begun")
		times := o.dueTimes(id)
		require.Len(t, times, 2)
		for _, endpoint := range []string{a, b} {
			due := times[endpoint]
			slices.SortFunc(due, time.Time.Compare)
			require.False(t, due[0].Before(begin))
			require.Less(t, due[0].Sub(begin), time.Minute)
			for i := range due[1:] {
				require.GreaterOrEqual(t, due[i+1].Sub(due[i]), time.Second, "%d", i)
			}
			require.Less(t, due[len(due)-1].Sub(begin), (each+60)*time.Second)
		}
	})
}

// An endpoint with few deliveries to replay does not wait for one with many.
func TestAReplayPacesEachEndpointByItself(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		o.multiply(o.publishOne("shop"))
		little := o.endpoint("shop", 0)
		nextMillisecond() // so that it is the last
		o.publishOne("shop")
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'failed', done_at = 1, next_at = 0`)
		s, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{}, WithReplayRate(1))
		require.NoError(t, err)
		require.Equal(t, 1026, s.Scheduled)
		var due int64
		require.NoError(t, o.db.QueryRow(t.Context(), `SELECT next_at FROM {schema}outbox_delivery WHERE endpoint = ?`, little).Scan(&due))
		require.Less(t, time.Until(fromMicros(due)), time.Minute)
	})
}

// Deliveries that cannot be sent are counted across batches and keep their
// state.
func TestAReplaySkipsWhatCantBeSent(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		off := o.endpoint("shop", 0)
		gone := o.endpoint("gone", 0)
		o.endpoint("empty", 0)
		empty, lost := o.publishOne("empty"), o.publishOne("gone")
		o.exec(`UPDATE {schema}outbox_delivery SET encoding = 0, state = 'failed', done_at = 1 WHERE id = ?`, empty)
		o.multiply(o.publishOne("shop"))
		require.NoError(t, o.App("shop").Disable(t.Context(), off, "test"))
		require.NoError(t, o.App("gone").DeleteEndpoint(t.Context(), gone))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for app, want := range map[string]int{"shop": 1024, "gone": 1, "empty": 1} {
			s, err := o.App(app).ReplayRange(ctx, DeliveryFilter{})
			require.NoError(t, err)
			require.Equal(t, want, s.Skipped, app)
			require.Zero(t, s.Scheduled, app)
			require.True(t, s.Complete)
		}
		require.Zero(t, o.count(`state = 'pending'`))
		require.Equal(t, Canceled, o.delivery(lost).State)
	})
}

// A complete replay changes nothing, even if more deliveries match its filter
// by now.
func TestACompleteReplayIsNotResumed(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		o.deadEarlier(time.Minute)
		waits := o.loaded(o.publishOne("shop"))
		nextMillisecond() // by which times of publishing are compared
		s, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{})
		require.NoError(t, err)
		require.Equal(t, 1, s.Scheduled)
		o.write(waits.failed(time.Now(), time.Time{}))
		s, err = o.App("shop").ResumeReplay(t.Context(), s.ID)
		require.NoError(t, err)
		require.Equal(t, 1, s.Scheduled)
		require.Equal(t, Failed, o.delivery(waits.id).State)
	})
}

// Two processes that resume a replay at the same time share the work.
func TestReplay_ResumedByTwo(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		o.multiply(o.publishOne("shop"))
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'failed', done_at = 1`)
		ctx, stop := context.WithCancel(t.Context())
		var id string
		_, err := o.App("shop").ReplayRange(ctx, DeliveryFilter{}, WithReplayProgress(func(s ReplayStatus) { id = s.ID; stop() }))
		require.ErrorIs(t, err, context.Canceled)
		const n = 4
		errs := make(chan error, n)
		for range n {
			go func() {
				_, err := o.App("shop").ResumeReplay(context.Background(), id)
				errs <- err
			}()
		}
		for range n {
			require.NoError(t, <-errs)
		}
		s, err := o.App("shop").ReplayStatus(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, 1024, s.Scheduled)
		require.EqualValues(t, 1024, o.count(`replays = 1`))
		require.Zero(t, s.Skipped)
	})
}
