package outbox

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
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

// All deliveries of a replay are due at once, since no process ran for an hour.
// They are sent at the rate of the replay nevertheless.
func TestReplay_KeepsPaceAfterPause(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		const n, rate = 40, 20
		arrived := make(chan struct{}, 2*n)
		server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { arrived <- struct{}{} }))
		t.Cleanup(server.Close)
		e, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(server.URL), MaxConcurrency: n})
		require.NoError(t, err)
		for range n {
			o.publishOne("shop")
		}
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'failed', done_at = 1, next_at = 0`)
		nextMillisecond()
		s, err := o.App("shop").ReplayRange(t.Context(), DeliveryFilter{Endpoint: e.ID}, WithReplayRate(rate))
		require.NoError(t, err)
		require.Equal(t, n, s.Scheduled)
		o.exec(`UPDATE {schema}outbox_delivery SET next_at = next_at - ?`, time.Hour.Microseconds())
		begin := time.Now()
		require.NoError(t, o.Start(t.Context()))
		for range n {
			<-arrived
		}
		require.Greater(t, time.Since(begin), (n-1)*time.Second/rate)
		require.Eventually(t, func() bool { return o.count(`state = 'pending'`) == 0 }, hangLimit, 5*time.Millisecond)
	})
}

// The slots of a replay are a spacing apart, whenever they are taken. One that
// is not soon is put off, also behind others that were. A clock that was set
// back stops nothing.
func TestPaceRow(t *testing.T) {
	t.Parallel()
	const spacing, ahead = 100, 250
	p := &paceRow{spacing: spacing}
	for i, c := range []struct {
		now, at int64
		taken   bool
	}{
		{10_000, 10_000, true},
		{10_000, 10_100, true},
		{10_010, 10_200, true},
		{10_010, 10_300, false},
		{10_010, 10_400, false},
		{10_060, 10_300, true},
		{10_060, 10_500, false},
		{10_350, 10_400, true},
		{10_800, 10_800, true},
		{11_000, 11_000, true},
		{11_000 - 3_600_000_000, 11_000 - 3_600_000_000, true},
	} {
		at, taken := p.take(c.now, ahead)
		require.Equal(t, c.taken, taken, i)
		require.Equal(t, c.at, at, i)
	}
}

// A fault while slots are taken is contained and counted, and the replay goes
// on.
func TestReplay_SurvivesFaultOfPace(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	o := newInside(t)
	_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(server.URL)})
	require.NoError(t, err)
	id := o.publishOne("shop")
	o.write(o.loaded(id).failed(time.Now(), time.Time{}))
	nextMillisecond()
	var broken atomic.Bool
	broken.Store(true)
	take := o.worker.pace.batches.Run
	o.worker.pace.batches.Run = func(ctx context.Context, all []*paced) ([]struct{}, error) {
		panicIf(&broken)
		return take(ctx, all)
	}
	_, err = o.App("shop").ReplayRange(t.Context(), DeliveryFilter{})
	require.NoError(t, err)
	require.NoError(t, o.Start(t.Context()))
	require.Eventually(t, func() bool { return o.Faults()["pacing"] > 0 }, hangLimit, time.Millisecond)
	broken.Store(false)
	require.Eventually(t, func() bool { return o.delivery(id).State == Delivered }, hangLimit, 5*time.Millisecond)
}
