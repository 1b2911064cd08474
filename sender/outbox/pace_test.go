package outbox

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
)

// While a replay is scheduled, its first deliveries fail, one of them with an
// answer that asks for six hours. They are retried the next day. The others
// keep the pace of the replay, also after it was interrupted and resumed.
func TestReplay_FailuresKeepPace(t *testing.T) {
	t.Parallel()
	daily := func() backoff.BackOff { return backoff.NewConstantBackOff(24 * time.Hour) }
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		for range 900 {
			o.publishOne("shop")
		}
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'failed', done_at = 1, next_at = 0`)
		nextMillisecond()
		var (
			id      string
			planned []time.Time
			begin   = stamp(time.Now())
		)
		// failNew fails the deliveries that have been planned since the last call.
		failNew := func() {
			page, err := o.Deliveries(t.Context(), DeliveryFilter{Replay: id, States: []State{Pending}}, Page{Limit: MaxPageLimit})
			require.NoError(t, err)
			for i, d := range page.Items {
				if d.Attempts > 0 {
					continue
				}
				planned = append(planned, d.NextAt)
				a := refused()
				a.RetryAfter = time.Duration(i%2) * 6 * time.Hour
				l := o.loaded(d.ID)
				o.write(newResult(l, daily, a, time.Now()))
			}
		}
		ctx, stop := context.WithCancel(t.Context())
		_, err := o.App("shop").ReplayRange(ctx, DeliveryFilter{Endpoint: e}, WithReplayProgress(func(s ReplayStatus) {
			if id = s.ID; s.Scheduled == 600 {
				stop()
			}
			failNew()
		}))
		require.ErrorIs(t, err, context.Canceled)
		s, err := o.App("shop").ResumeReplay(t.Context(), id, WithReplayProgress(func(ReplayStatus) { failNew() }))
		require.NoError(t, err)
		require.True(t, s.Complete)
		require.Len(t, planned, 900)
		slices.SortFunc(planned, time.Time.Compare)
		for i := range planned[1:] {
			require.GreaterOrEqual(t, planned[i+1].Sub(planned[i]), time.Second/DefaultReplayRate)
		}
		// The last batch may have begun late on a slow machine.
		require.Less(t, planned[len(planned)-1].Sub(begin), time.Hour)
	})
}
