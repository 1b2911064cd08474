package outbox_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// shortBreaker has pauses that are short enough for tests to wait for them.
func shortBreaker() outbox.Option {
	return outbox.WithBreaker(5, 50*time.Millisecond, 200*time.Millisecond)
}

func TestFailingForTooLongDisables(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, shortBreaker(), outbox.WithHook(notices.add), outbox.WithDisableAfter(time.Hour))
		h := newHook(t, always(500))
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		first := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, first, outbox.Failed)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeFailing)) == 1 }, "no notice")
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointFailing, got.State)
		require.NotZero(t, got.FailingSince)

		w.exec(t, `UPDATE {t} SET failing_since = failing_since - 3700000000`)
		w.exec(t, `UPDATE `+w.table("outbox_delivery")+` SET done_at = done_at - 3000000000`)
		publish(t, o.App("shop"), event(payload.DeployLive, "dep_2"))
		eventually(t, func() bool {
			got, err := o.App("shop").Endpoint(context.Background(), e.ID)
			require.NoError(t, err)
			return got.State == outbox.EndpointDisabled
		}, "not disabled")
		eventually(t, func() bool { return len(notices.of(outbox.NoticeDisabled)) == 1 }, "no notice")
		require.Contains(t, notices.of(outbox.NoticeDisabled)[0].Reason, "every attempt since")
		eventually(t, func() bool { return len(notices.of(outbox.NoticeAttempt)) == h.count() }, "an attempt without a notice")
		require.Empty(t, publish(t, o.App("shop"), event(payload.DeployLive, "dep_3")).Deliveries)
	})
}

func TestSuccessMakesAFailingEndpointActiveAgain(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, shortBreaker(), outbox.WithHook(notices.add))
		h := newHook(t, always(500))
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID, outbox.Failed)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeFailing)) == 1 }, "no notice")
		h.set(nil)
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "dep_2")).Deliveries[0].ID, outbox.Delivered)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeRecovered)) == 1 }, "no notice")
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Zero(t, got.FailingSince)
		require.Zero(t, got.BreakerOpenUntil)
	})
}

// A dead endpoint is probed now and then. When it has recovered, its waiting
// deliveries are made. Waiting used up no attempts.
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
		create(t, o.App("shop"), endpointAt(h.URL))
		var ids []string
		for range 30 {
			ids = append(ids, publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID)
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
		c := endpointAt(h.URL)
		c.RateLimit = 10
		e, _ := create(t, o.App("shop"), c)
		require.InDelta(t, 10, e.RateLimit, 0.01)
		var ids []string
		for range 25 {
			ids = append(ids, publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID)
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

func TestRetryAfter(t *testing.T) {
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
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		got := h.requests()
		require.GreaterOrEqual(t, got[1].at.Sub(got[0].at), wait)
		attempts, err := o.App("shop").Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, wait, attempts[0].RetryAfter)
	})
}

func TestHook_Panic(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var calls atomic.Int64
		o := w.start(t, outbox.WithHook(func(context.Context, outbox.Notice) { calls.Add(1); panic("mine") }))
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		eventually(t, func() bool { return calls.Load() == 2 }, "not called")
		require.Equal(t, 1, h.count())
	})
}

// Any bytes in the headers and body of an endpoint's answer can be recorded.
func TestHostileAnswersAreRecorded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		h.header["X-Bad"] = []string{"\xff\xfe bad \t utf8", "second"}
		h.header["X-Long"] = []string{"ü"}
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		d := settled(t, o, id, outbox.Delivered)
		require.Equal(t, 1, d.Attempts)
		attempts, err := o.App("shop").Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.Len(t, attempts[0].ResponseHeader["X-Bad"], 2)
	})
}

// delayed answers the attempts of one deployment only when the test releases
// it. It answers all others at once.
func delayed(deployment string, status, others int) (answer func(int, received) int, in, release chan struct{}) {
	in, release = make(chan struct{}, 1), make(chan struct{})
	return func(_ int, r received) int {
		if !bytes.Contains(r.body, []byte(`"`+deployment+`"`)) {
			return others
		}
		in <- struct{}{}
		<-release
		return status
	}, in, release
}

func TestALateAnswerOfTheOldURLSaysNothingAboutTheNew(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		for _, status := range []int{410, 500} {
			app := fmt.Sprint("app", status)
			o := w.start(t, outbox.WithBreaker(1, time.Hour, time.Hour))
			answer, in, release := delayed("late", status, 200)
			old, fixed := newHook(t, answer), newHook(t, nil)
			e, _ := create(t, o.App(app), endpointAt(old.URL))
			for range 3 { // so that one that hangs does not keep the others waiting
				settled(t, o, publish(t, o.App(app), event(payload.DeployLive, "d1")).Deliveries[0].ID, outbox.Delivered)
			}
			late := publish(t, o.App(app), event(payload.DeployLive, "late")).Deliveries[0].ID
			<-in
			_, err := o.App(app).UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{URL: new(sender.NewURL(fixed.URL))})
			require.NoError(t, err)
			settled(t, o, publish(t, o.App(app), event(payload.DeployLive, "d2")).Deliveries[0].ID, outbox.Delivered)
			close(release)
			eventually(t, func() bool {
				d, err := o.App(app).Delivery(context.Background(), late)
				require.NoError(t, err)
				return d.Attempts > 0
			}, "no answer")
			settled(t, o, publish(t, o.App(app), event(payload.DeployLive, "d3")).Deliveries[0].ID, outbox.Delivered)
			got, err := o.App(app).Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			require.Equal(t, outbox.EndpointActive, got.State, got.Reason)
			require.Zero(t, got.FailingSince)
			require.Zero(t, got.BreakerOpenUntil)
			closeSlowly(t, o)
		}
	})
}

func TestALateFailureDoesNotDisableWhatWasEnabledSince(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithDisableAfter(time.Hour), outbox.WithSchedule("platform", platformIn(1)))
		answer, in, release := delayed("late", 500, 500)
		h := newHook(t, answer)
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		w.exec(t, `UPDATE {t} SET failing_since = failing_since - 7200000000`)
		w.exec(t, `UPDATE `+w.table("outbox_delivery")+` SET done_at = done_at - 7000000000`)
		late := publish(t, o.App("shop"), event(payload.DeployLive, "late")).Deliveries[0].ID
		<-in
		require.NoError(t, o.App("shop").Enable(t.Context(), e.ID))
		h.set(nil)
		good := publish(t, o.App("shop"), event(payload.DeployLive, "d3")).Deliveries[0].ID
		close(release)
		settled(t, o, late, outbox.Failed)
		settled(t, o, good, outbox.Delivered)
		require.NoError(t, o.Stop(t.Context())) // which waits for what an attempt entails
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.NotEqual(t, outbox.EndpointDisabled, got.State)
	})
}

// A time without attempts, even if it is longer than WithDisableAfter, is no
// evidence of a failing endpoint.
func TestAQuietEndpointIsNotDisabled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, shortBreaker(), outbox.WithDisableAfter(time.Hour), outbox.WithSchedule("platform", platformIn(2)))
		h := newHook(t, always(500))
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		require.Equal(t, outbox.EndpointActive, e.State)
		_, _, err := o.App("shop").TestEndpoint(t.Context(), e.ID)
		require.NoError(t, err)
		publish(t, o.App("shop"), event(payload.DeployLive, "d"))
		eventually(t, func() bool {
			x, err := o.App("shop").Endpoint(context.Background(), e.ID)
			return err == nil && !x.FailingSince.IsZero()
		}, "not failing")
		w.exec(t, `UPDATE {t} SET failing_since = failing_since - 7200000000`)
		for _, d := range []string{"d2", "d3"} { // both now
			settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, d)).Deliveries[0].ID, outbox.Failed)
		}
		require.NoError(t, o.Stop(t.Context())) // which waits for what an attempt entails
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.NotEqual(t, outbox.EndpointDisabled, got.State)
	})
}

// With an open breaker and a backlog, weeks may pass in which no delivery uses
// up its attempts. The endpoint is disabled nevertheless.
func TestAnEndpointThatWasTriedAllTheTimeIsDisabled(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithBreaker(1, 100*time.Millisecond, 100*time.Millisecond), outbox.WithDisableAfter(time.Hour),
			outbox.WithSchedule("platform", platformIn(1000)))
		h := newHook(t, always(500))
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		for range 20 {
			publish(t, o.App("shop"), event(payload.DeployLive, "d"))
		}
		// An hour passes. Each fifth of it has a failed attempt.
		for range 5 {
			recorded := "SELECT count(*) FROM " + w.table("outbox_attempt")
			before := w.queryInt(t, recorded)
			eventually(t, func() bool { return w.queryInt(t, recorded) > before }, "no attempt")
			got, err := o.App("shop").Endpoint(t.Context(), e.ID)
			require.NoError(t, err)
			require.NotEqual(t, outbox.EndpointDisabled, got.State)
			w.exec(t, `UPDATE `+w.table("outbox_attempt")+` SET started_at = started_at - 720000000`)
			w.exec(t, `UPDATE {t} SET failing_since = failing_since - 720000000`)
		}
		eventually(t, func() bool {
			got, err := o.App("shop").Endpoint(context.Background(), e.ID)
			return err == nil && got.State == outbox.EndpointDisabled
		}, "not disabled")
	})
}

func TestASuccessThatOverlappedAFailureEndsFailing(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var notices notices
		o := w.start(t, outbox.WithSchedule("platform", platformIn(1)), outbox.WithHook(notices.add))
		answer, in, release := delayed("block", 200, 200)
		h := newHook(t, func(n int, r received) int {
			if bytes.Contains(r.body, []byte(`"fail"`)) {
				return 500
			}
			return answer(n, r)
		})
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		for i := range 3 {
			settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, fmt.Sprint("d", i))).Deliveries[0].ID, outbox.Delivered)
		}
		b := publish(t, o.App("shop"), event(payload.DeployLive, "block")).Deliveries[0].ID
		<-in
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "fail")).Deliveries[0].ID, outbox.Failed)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeFailing)) == 1 }, "not failing")
		close(release)
		settled(t, o, b, outbox.Delivered)
		got, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, outbox.EndpointActive, got.State)
		require.Zero(t, got.FailingSince)
		eventually(t, func() bool { return len(notices.of(outbox.NoticeRecovered)) == 1 }, "no notice")
	})
}
