package outbox

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// minutely waits a minute each time, for limit in total.
func minutely(limit time.Duration) *backoff.ExponentialBackOff {
	return backoff.NewExponentialBackOff(backoff.WithInitialInterval(time.Minute), backoff.WithRandomizationFactor(0),
		backoff.WithMultiplier(1), backoff.WithMaxElapsedTime(limit))
}

// wrapped is a schedule of the application with another one inside.
type wrapped struct {
	name  string
	inner backoff.BackOff
	self  *wrapped
}

func (w *wrapped) NextBackOff() time.Duration { return w.inner.NextBackOff() }
func (w *wrapped) Reset()                     {}

// embedding has a schedule as a value.
type embedding struct{ backoff.ExponentialBackOff }

// twice is a schedule with two others inside.
type twice struct {
	backoff.BackOff
	other backoff.BackOff
}

// The limit of a schedule counts from the first attempt of a delivery, and anew
// after a replay. It also counts where the schedule is inside another one.
func TestSchedule_MaxElapsedTime(t *testing.T) {
	t.Parallel()
	for name, schedule := range map[string]sender.Schedule{
		"alone": func() backoff.BackOff { return minutely(time.Hour) },
		"in retries": func() backoff.BackOff {
			return backoff.WithMaxRetries(minutely(time.Hour), 1000)
		},
		"in a context": func() backoff.BackOff {
			return backoff.WithContext(minutely(time.Hour), context.Background())
		},
		"scaled": sender.Scaled(func() backoff.BackOff { return minutely(time.Hour) }, 1),
		"in the application's": func() backoff.BackOff {
			w := &wrapped{name: "mine", inner: minutely(time.Hour)}
			w.self = w
			return w
		},
		"embedded": func() backoff.BackOff { return &embedding{*minutely(time.Hour)} },
		"the shorter of two": func() backoff.BackOff {
			return &twice{minutely(9 * time.Hour), minutely(time.Hour)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				o.endpoint("shop", 0)
				id := o.publishOne("shop")
				attemptFails := func(ago time.Duration) State {
					d := o.loaded(id)
					a := refused()
					a.Start = time.Now().Add(-ago)
					_, waits := o.worker.conclude(t.Context(), d, schedule, a).Waits()
					state := o.delivery(id).State
					require.Equal(t, state == Pending, waits)
					return state
				}
				require.Equal(t, Pending, attemptFails(58*time.Minute), "the first, 58 minutes ago")
				require.Equal(t, Pending, attemptFails(0), "58 minutes after the first, and the next would come in the 59th")
				o.exec(`UPDATE {schema}outbox_delivery SET run_at = run_at - ?`, (2 * time.Minute).Microseconds())
				require.Equal(t, Failed, attemptFails(0), "an hour after the first")
				o.replay(id)
				require.Equal(t, Pending, attemptFails(0), "the first of the replay")
				require.Equal(t, Pending, attemptFails(0))
			})
		})
	}
}

// Without a limit there are attempts for ever.
func TestSchedule_WithoutMaxElapsedTime(t *testing.T) {
	t.Parallel()
	for _, schedule := range []sender.Schedule{
		func() backoff.BackOff { return minutely(0) },
		func() backoff.BackOff { return backoff.NewConstantBackOff(time.Minute) },
	} {
		_, more := nthWait(schedule, 1000, 1000*time.Hour)
		require.True(t, more)
	}
}

// A delivery is attempted until the schedule's limit has passed.
func TestSchedule_MaxElapsedTimeMakesDeadLetter(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) }))
		t.Cleanup(server.Close)
		_, _, err := o.App("shop").CreateEndpoint(t.Context(), EndpointConfig{URL: sender.NewURL(server.URL), Schedule: "mine"})
		require.NoError(t, err)
		require.NoError(t, o.Start(t.Context()))
		id := o.publishOne("shop")
		require.Eventually(t, func() bool { return o.delivery(id).State == Failed }, hangLimit, 5*time.Millisecond)
	}, WithBreaker(10_000, time.Second, time.Second), WithSchedule("mine", func() backoff.BackOff {
		return backoff.NewExponentialBackOff(backoff.WithInitialInterval(10*time.Millisecond), backoff.WithMaxInterval(20*time.Millisecond),
			backoff.WithMaxElapsedTime(300*time.Millisecond))
	}))
}
