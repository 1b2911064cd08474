package outbox_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

func TestSupersession_DropsStaleDeliveries(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t, outbox.WithSupersession())
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		at := func(typ payload.Type, deployment string, minute int) string {
			e := event(typ, deployment)
			e.Timestamp = e.Timestamp.Add(time.Duration(minute) * time.Minute)
			return publish(t, o.App("shop"), e).Deliveries[0].ID
		}
		started := at(payload.DeployStarted, "dep_1", 0)
		built := at(payload.BuildCompleted, "dep_1", 1)
		custom := at("deploy.canary", "dep_1", 1)
		otherStarted := at(payload.DeployStarted, "dep_2", 0)
		live := at(payload.DeployLive, "dep_1", 3)
		late := at(payload.HealthCheckPassed, "dep_1", 2)
		rolledBack := at(payload.DeployRolledBack, "dep_1", 5)
		again := at(payload.DeployStarted, "dep_1", 9) // once more, after the end

		for id, want := range map[string]outbox.State{
			started: outbox.Superseded, built: outbox.Superseded, late: outbox.Superseded,
			custom: outbox.Pending, otherStarted: outbox.Pending, live: outbox.Pending, rolledBack: outbox.Pending, again: outbox.Pending,
		} {
			d, err := o.App("shop").Delivery(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, want, d.State, d.Type)
			if want == outbox.Superseded {
				require.NotEmpty(t, d.LastError)
			}
		}
		w.start(t, outbox.WithSupersession())
		for _, id := range []string{custom, otherStarted, live, rolledBack, again} {
			settled(t, o, id, outbox.Delivered)
		}
		require.Equal(t, 5, h.count())
	})
}

func TestWithoutTheOptionNothingIsSuperseded(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		a := publish(t, o.App("shop"), event(payload.DeployStarted, "dep_1")).Deliveries[0].ID
		b := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		require.NoError(t, o.Start(t.Context()))
		settled(t, o, a, outbox.Delivered)
		settled(t, o, b, outbox.Delivered)
	})
}

// Two transactions that do not see each other publish the start and the end.
// The worker finds that the start is stale.
func TestSupersessionHoldsForConcurrentTransactions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		if w.pool == nil {
			return // SQLite has one writing transaction at a time
		}
		o := w.open(t, outbox.WithSupersession())
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		tx1, tx2 := w.begin(t), w.begin(t)
		started, err := tx1.publish(t.Context(), o.App("shop"), event(payload.DeployStarted, "dep_1"))
		require.NoError(t, err)
		live, err := tx2.publish(t.Context(), o.App("shop"), event(payload.DeployLive, "dep_1"))
		require.NoError(t, err)
		tx2.commit(t)
		tx1.commit(t)
		require.NoError(t, o.Start(t.Context()))
		settled(t, o, live.Deliveries[0].ID, outbox.Delivered)
		settled(t, o, started.Deliveries[0].ID, outbox.Superseded)
	})
}

func TestSupersession_ReplayedIsSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t, outbox.WithSupersession())
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		id := publish(t, o.App("shop"), event(payload.DeployStarted, "d")).Deliveries[0].ID
		settled(t, o, id, outbox.Delivered)
		settled(t, o, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID, outbox.Delivered)
		require.NoError(t, o.App("shop").Replay(t.Context(), id))
		eventually(t, func() bool { return len(h.sent(id)) == 2 }, "not sent again")
		settled(t, o, id, outbox.Delivered)
	})
}

// noEnd is a format that can't express that a deployment is live.
type noEnd struct{}

func (noEnd) Encode(_ context.Context, e *payload.Event) (string, []byte, error) {
	if e.Type == payload.DeployLive {
		return "", nil, errors.New("no template")
	}
	return "text/plain", []byte(e.Type), nil
}

// The endpoint never gets a terminal event that its format can't express. So
// that event supersedes nothing, no matter which of the two comes first.
func TestSupersession_NotByWhatCantBeSent(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		opts := []outbox.Option{outbox.WithSupersession(), outbox.WithFormat("no_end", noEnd{})}
		o := w.open(t, opts...)
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.BodyFormat = "no_end"
		create(t, o.App("shop"), c)
		stateOf := func(id string) outbox.State {
			d, err := o.App("shop").Delivery(t.Context(), id)
			require.NoError(t, err)
			return d.State
		}
		started := publish(t, o.App("shop"), event(payload.DeployStarted, "d")).Deliveries[0].ID
		live := publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID
		built := publish(t, o.App("shop"), event(payload.BuildCompleted, "d")).Deliveries[0].ID
		require.Equal(t, outbox.Failed, stateOf(live))
		for _, id := range []string{started, built} {
			require.Equal(t, outbox.Pending, stateOf(id))
		}
		w.start(t, opts...)
		for _, id := range []string{started, built} {
			settled(t, o, id, outbox.Delivered)
		}
	})
}
