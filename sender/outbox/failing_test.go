package outbox

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// failingFor makes the app's endpoint fail for the given time, and returns a
// delivery to it in the form in which a worker loads it.
func (o *inside) failingFor(since time.Duration) *loaded {
	o.t.Helper()
	d := o.loaded(o.publishOne("shop"))
	o.write(d.failed(time.Now().Add(-since), time.Now()))
	return o.loaded(d.id)
}

// fail does what a worker does after a failed attempt. The delivery may have an
// attempt left.
func (o *inside) fail(d *loaded, left bool) {
	o.t.Helper()
	var next time.Time
	if left {
		next = time.Now().Add(time.Minute)
	}
	o.notifier.notify(o.t.Context(), o.health.afterFailure(o.t.Context(), d, d.failed(time.Now(), next))...)
}

// deadEarlier changes another delivery so that it used up its attempts the
// given time ago.
func (o *inside) deadEarlier(ago time.Duration) (id string) {
	o.t.Helper()
	id = o.publishOne("shop")
	o.write(o.loaded(id).failed(time.Now().Add(-ago), time.Time{}))
	return id
}

// An endpoint is failing as soon as a delivery has used up its attempts, or
// when no attempt has succeeded for an hour.
func TestWhenAnEndpointIsFailing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		since time.Duration
		left  bool
		want  EndpointState
	}{
		"used up":         {time.Minute, false, EndpointFailing},
		"attempts left":   {time.Minute, true, EndpointActive},
		"for a long time": {failingAfter + time.Minute, true, EndpointFailing},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				e := o.endpoint("shop", 0)
				o.fail(o.failingFor(c.since), c.left)
				require.Equal(t, c.want, o.shown(e).State)
			})
		})
	}
}

// If two workers notice a failing endpoint at the same time, the hook is called
// once. Changes since the attempt began take precedence over its result.
func TestFailing_NoticeOnce(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		var notices atomic.Int64
		o.notifier.hook = func(context.Context, Notice) { notices.Add(1) }
		e := o.endpoint("shop", 0)
		d := o.failingFor(time.Minute)
		o.write(o.loaded(o.publishOne("shop")).delivered(time.Now()))
		o.fail(d, false)
		require.Equal(t, EndpointActive, o.shown(e).State, "it has succeeded since")

		d = o.failingFor(time.Minute)
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{Description: new("changed")})
		require.NoError(t, err)
		o.fail(d, false)
		require.Equal(t, EndpointActive, o.shown(e).State, "it was changed since")

		d = o.loaded(d.id)
		o.fail(d, false)
		o.fail(d, false)
		require.Equal(t, EndpointFailing, o.shown(e).State)
		require.EqualValues(t, 1, notices.Load())
	})
}

// An endpoint is disabled only on evidence from the whole of WithDisableAfter.
func TestWhatDisablesAnEndpoint(t *testing.T) {
	t.Parallel()
	const after = time.Hour
	for name, c := range map[string]struct {
		since  time.Duration
		left   bool
		change string // of the other dead letter
		want   bool
	}{
		"two dead letters":             {since: 61 * time.Minute, want: true},
		"attempts left":                {since: 61 * time.Minute, left: true},
		"not for long enough":          {since: 50 * time.Minute},
		"another endpoint's":           {since: 61 * time.Minute, change: `endpoint = 'ep_other'`},
		"another app's":                {since: 61 * time.Minute, change: `app = 'other'`},
		"one that was canceled":        {since: 61 * time.Minute, change: `state = 'canceled'`},
		"one that was never attempted": {since: 61 * time.Minute, change: `attempts = 0`},
		"one that was aborted":         {since: 61 * time.Minute, change: `last_class = 'aborted'`},
		"a test":                       {since: 61 * time.Minute, change: `type = 'webhook.test'`},
		"of the last failing":          {since: 61 * time.Minute, change: `done_at = done_at - 3600000000`},
		"of the same moment":           {since: 61 * time.Minute, change: `done_at = done_at + 1740000000`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				e := o.endpoint("shop", 0)
				d := o.failingFor(c.since)
				other := o.deadEarlier(30 * time.Minute)
				if c.change != "" {
					o.exec(`UPDATE {schema}outbox_delivery SET `+c.change+` WHERE id = ?`, other)
				}
				o.fail(d, c.left)
				require.Equal(t, c.want, o.shown(e).State == EndpointDisabled)
			}, WithDisableAfter(after))
		})
	}
}

// A delivery that was replayed is no second witness.
func TestOneDeadLetterAloneDisablesNothing(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.failingFor(2 * time.Hour)
		o.write(d.failed(time.Now().Add(-time.Hour), time.Time{}))
		o.fail(d, false)
		require.Equal(t, EndpointFailing, o.shown(e).State)
	}, WithDisableAfter(time.Hour))
}

func TestDisable_NotForDeadLettersBeforeASuccess(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		o.deadEarlier(30 * time.Minute)
		o.write(o.loaded(o.publishOne("shop")).delivered(time.Now()))
		o.fail(o.loaded(o.publishOne("shop")), false)
		require.Equal(t, EndpointActive, o.shown(e).State)
	}, WithDisableAfter(time.Hour))
}

func TestZeroNeverDisables(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.failingFor(1000 * time.Hour)
		o.deadEarlier(500 * time.Hour)
		o.fail(d, false)
		require.Equal(t, EndpointFailing, o.shown(e).State)
	}, WithDisableAfter(0))
}

// Changes since the attempt began take precedence here, too.
func TestDisable_NotAfterAChange(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.failingFor(2 * time.Hour)
		o.deadEarlier(30 * time.Minute)
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{Description: new("changed")})
		require.NoError(t, err)
		o.fail(d, false)
		require.NotEqual(t, EndpointDisabled, o.shown(e).State, "it was changed since")

		d = o.loaded(d.id)
		o.write(o.loaded(o.publishOne("shop")).delivered(time.Now()))
		o.fail(d, false)
		require.NotEqual(t, EndpointDisabled, o.shown(e).State, "it has succeeded since")
	}, WithDisableAfter(time.Hour))
}

// Failed attempts are evidence if they are spread over the whole time. At least
// four of its five fifths must have one. They must belong to pending deliveries
// to this endpoint.
func TestTriedThroughout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		minutesAgo []int
		change     string
		want       bool
	}{
		"in all fifths":        {[]int{54, 42, 30, 18, 6}, "", true},
		"in four":              {[]int{54, 30, 18, 6}, "", true},
		"in three":             {[]int{54, 30, 29, 18, 17}, "", false},
		"some before":          {[]int{126, 114, 90, 78, 30, 18, 6}, "", false},
		"to another endpoint":  {[]int{54, 42, 30, 18, 6}, `endpoint = 'ep_other'`, false},
		"of what was accepted": {[]int{54, 42, 30, 18, 6}, `state = 'delivered'`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				e := o.endpoint("shop", 0)
				d := o.failingFor(2 * time.Hour)
				other := o.publishOne("shop")
				for _, minutes := range c.minutesAgo {
					o.write(o.loaded(other).failed(time.Now().Add(-time.Duration(minutes)*time.Minute), time.Now()))
				}
				if c.change != "" {
					o.exec(`UPDATE {schema}outbox_delivery SET `+c.change+` WHERE id = ?`, other)
				}
				o.fail(d, true)
				require.Equal(t, c.want, o.shown(e).State == EndpointDisabled)
			}, WithDisableAfter(time.Hour))
		})
	}
}
