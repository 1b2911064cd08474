package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestMaxTimeoutBoundsEveryAttempt(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithMaxTimeout(500*time.Millisecond), outbox.WithSchedule("platform", platformIn(2)))
		block := make(chan struct{})
		h := newHook(t, func(int, received) int { <-block; return 200 })
		t.Cleanup(func() { close(block) })
		create(t, o.App("shop"), endpointAt(h.URL)) // without a timeout of its own
		d := settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		require.Equal(t, 2, d.Attempts)
		require.Equal(t, sender.ClassTimeout, d.LastClass)
		attempts, err := o.App("shop").Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 2)
	})
}

func TestContradictoryTimeoutsAreRefused(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		_, err := w.tryOpen(outbox.WithMaxTimeout(time.Second), outbox.WithSender(sender.WithTimeout(2*time.Second)))
		require.ErrorIs(t, err, outbox.ErrConfig)
		require.ErrorContains(t, err, "WithMaxTimeout")
		observed := false
		for _, opts := range [][]sender.Option{
			{sender.WithTimeout(time.Second)},
			{sender.WithPorts(8443)},
			{sender.WithObserver(func(context.Context, sender.Attempt) { observed = true })},
		} {
			w.open(t, outbox.WithMaxTimeout(time.Second), outbox.WithSender(opts...))
		}
		require.False(t, observed, "opening must not look like an attempt")
	})
}

// The column has microseconds. A shorter timeout must not become the default.
func TestEndpointTimeout_IsNeverRoundedToTheDefault(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		c := endpointAt("http://127.0.0.1:1/")
		c.Timeout = time.Nanosecond
		e, _ := create(t, o.App("shop"), c)
		stored, err := o.App("shop").Endpoint(t.Context(), e.ID)
		require.NoError(t, err)
		require.Equal(t, time.Microsecond, stored.Timeout)
	})
}

func TestTheSendersTimeoutIsKept(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSender(sender.WithTimeout(300*time.Millisecond)), outbox.WithSchedule("platform", platformIn(1)))
		block := make(chan struct{})
		h := newHook(t, func(int, received) int { <-block; return 200 })
		t.Cleanup(func() { close(block) })
		create(t, o.App("shop"), endpointAt(h.URL))
		d := settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Failed)
		attempts, err := o.App("shop").Attempts(t.Context(), d.ID)
		require.NoError(t, err)
		require.Len(t, attempts, 1)
		require.Equal(t, sender.ClassTimeout, attempts[0].Class)
	})
}
