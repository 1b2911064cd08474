package outbox_test

import (
	"context"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// shortBreaker pauses for so little that tests need not wait.
func shortBreaker() outbox.Option {
	return outbox.WithBreaker(5, 50*time.Millisecond, 200*time.Millisecond)
}

func TestFailingForTooLongDisables(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, shortBreaker(), outbox.WithHook(notices.add), outbox.WithDisableAfter(time.Hour))
		h := newHook(t, always(500))
		e, _ := create(t, o, endpointAt("shop", h.URL))
		first := publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, first, outbox.Failed)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeFailing)) == 1 }, "no notice")
		got, err := o.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointFailing, got.State)
		require.NotZero(t, got.FailingSince)

		w.exec(t, `UPDATE {t} SET failing_since = failing_since - 3700000000`)
		w.exec(t, `UPDATE `+w.table("outbox_delivery")+` SET done_at = done_at - 3000000000`)
		publish(t, o, "shop", event(payload.DeployLive, "dep_2"))
		eventually(t, func() bool {
			got, err := o.Endpoint(context.Background(), e.ID)
			require.NoError(t, err)
			return got.State == outbox.EndpointDisabled
		}, "not disabled")
		eventually(t, func() bool { return len(notices.of(outbox.NoticeDisabled)) == 1 }, "no notice")
		require.Contains(t, notices.of(outbox.NoticeDisabled)[0].Reason, "every attempt since")
		eventually(t, func() bool { return len(notices.of(outbox.NoticeAttempt)) == h.count() }, "an attempt without a notice")
		require.Empty(t, publish(t, o, "shop", event(payload.DeployLive, "dep_3")).Deliveries)
	})
}

func TestSuccessMakesAFailingEndpointActiveAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, shortBreaker(), outbox.WithHook(notices.add))
		h := newHook(t, always(500))
		e, _ := create(t, o, endpointAt("shop", h.URL))
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID, outbox.Failed)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeFailing)) == 1 }, "no notice")
		h.set(nil)
		settled(t, o, publish(t, o, "shop", event(payload.DeployLive, "dep_2")).Deliveries[0].ID, outbox.Delivered)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeRecovered)) == 1 }, "no notice")
		got, err := o.Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Zero(t, got.FailingSince)
		require.Zero(t, got.BreakerOpenUntil)
	})
}

// A dead endpoint is tried now and then, and what was held meanwhile is delivered when it is back, with no attempts used up by
// waiting.
func TestABacklogIsDeliveredAfterRecovery(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		const failures, pause = 3, 200 * time.Millisecond
		o := w.start(t, outbox.WithBreaker(failures, pause, 2*pause), outbox.WithSchedule(outbox.SchedulePlatform, platformIn(20)))
		h := newHook(t, func(n int, _ received) int {
			if n <= failures+2 {
				return 503
			}
			return 200
		})
		create(t, o, endpointAt("shop", h.URL))
		var ids []string
		for range 30 {
			ids = append(ids, publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID)
		}
		for _, id := range ids {
			settled(t, o, id, outbox.Delivered)
		}
		got := h.requests()
		require.Len(t, got, failures+2+len(ids))
		for n := failures; n < failures+3; n++ { // each is a probe
			require.GreaterOrEqual(t, got[n].at.Sub(got[n-1].at), pause/2, "the breaker let an attempt through")
		}
	})
}

func TestTheRateLimitHoldsAcrossProcesses(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		h := newHook(t, nil)
		c := endpointAt("shop", h.URL)
		c.RateLimit = 10
		e, _ := create(t, o, c)
		require.InDelta(t, 10, e.RateLimit, 0.01)
		var ids []string
		for range 25 {
			ids = append(ids, publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID)
		}
		begin := time.Now()
		w.start(t)
		w.start(t)
		for _, id := range ids {
			settled(t, o, id, outbox.Delivered)
		}
		got := h.requests()
		require.Len(t, got, 25)
		require.GreaterOrEqual(t, got[24].at.Sub(begin), 2400*time.Millisecond, "25 attempts at 10 a second")
	})
}

func TestRetryAfterIsHeeded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		const wait = 2 * time.Second
		o := w.start(t, outbox.WithBreaker(100, time.Second, time.Second))
		h := newHook(t, func(n int, _ received) int {
			if n == 1 {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		})
		h.header.Set("Retry-After", "2")
		create(t, o, endpointAt("shop", h.URL))
		id := publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		got := h.requests()
		require.GreaterOrEqual(t, got[1].at.Sub(got[0].at), wait)
		attempts, err := o.Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, wait, attempts[0].RetryAfter)
	})
}

func TestAPanickingHookHarmsNobody(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var calls atomic.Int64
		o := w.start(t, outbox.WithHook(func(context.Context, outbox.Notice) { calls.Add(1); panic("mine") }))
		h := newHook(t, nil)
		create(t, o, endpointAt("shop", h.URL))
		id := publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		eventually(t, func() bool { return calls.Load() == 2 }, "not called")
		require.Equal(t, 1, h.count())
	})
}

// An endpoint's answer can't make its record unwritable: headers and bodies are whatever bytes it likes.
func TestHostileAnswersAreRecorded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		h.header["X-Bad"] = []string{"\xff\xfe bad \t utf8", "second"}
		h.header["X-Long"] = []string{"ü"}
		create(t, o, endpointAt("shop", h.URL))
		id := publish(t, o, "shop", event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		d := settled(t, o, id, outbox.Delivered)
		require.Equal(t, 1, d.Attempts)
		attempts, err := o.Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.Len(t, attempts[0].ResponseHeader["X-Bad"], 2)
	})
}
