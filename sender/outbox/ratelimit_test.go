package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A rate limit is lifted while slots are reserved. No delivery keeps a slot of
// the old rate, which is an hour from now. Some slots are reserved and not yet
// recorded at that moment, and some are reserved later by a worker that still
// knows the old rate.
func TestRateLimit_ChangeReleasesOldSlots(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		slow, fast := 1.0/3600, 1000.0
		var ids []string
		for round := range max(fewer(20), 4) {
			c := endpointAt(h.URL)
			c.RateLimit = slow
			e, _ := create(t, o.App("shop"), c)
			for range 4 {
				ids = append(ids, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID)
			}
			// The first is delivered at once. Any number of the others has a recorded slot
			// by now.
			want := int64(round % 4)
			eventually(t, func() bool {
				return w.queryInt(t, "SELECT count(*) FROM "+w.table("outbox_delivery")+" WHERE rate_slot_at > 0 AND endpoint = '"+e.ID+"'") >= want
			}, "no slots")
			_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &fast})
			require.NoError(t, err)
			for _, id := range ids[len(ids)-4:] {
				settled(t, o, id, outbox.Delivered)
			}
			require.NoError(t, o.App("shop").DeleteEndpoint(t.Context(), e.ID))
		}
	})
}

func TestRateLimit_SlotsEndWithTheBacklog(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		c := endpointAt(h.URL)
		c.RateLimit = 1.0 / 60
		e, _ := create(t, o.App("shop"), c)
		var ids []string
		for range 10 {
			ids = append(ids, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID)
		}
		far := func(n int) func() bool {
			return func() bool {
				for _, id := range ids[len(ids)-n:] {
					d, err := o.App("shop").Delivery(context.Background(), id)
					if err != nil || d.State == outbox.Pending && time.Until(d.NextAt) < 30*time.Second || d.State == outbox.Delivering {
						return false
					}
				}
				return true
			}
		}
		eventually(t, far(9), "no slots")
		// The backlog is canceled directly in the database. A process that has just
		// started looks at once how far the slots reach.
		require.NoError(t, o.Stop(t.Context()))
		o = w.start(t)
		w.exec(t, `UPDATE `+w.table("outbox_delivery")+` SET state = 'canceled' WHERE state = 'pending'`)
		ids = append(ids, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID)
		ids = append(ids, publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID)
		eventually(t, func() bool {
			for _, id := range ids[10:] { // each has been delivered, or has a recorded slot
				d, err := o.App("shop").Delivery(context.Background(), id)
				wait := time.Until(d.NextAt)
				if err != nil || d.State != outbox.Delivered && (d.State != outbox.Pending || wait < 10*time.Second || wait > 150*time.Second) {
					return false
				}
			}
			return true
		}, "the slots of the canceled are still reserved")
		fast := 100.0
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &fast})
		require.NoError(t, err)
		for _, id := range ids[10:] {
			settled(t, o, id, outbox.Delivered)
		}
	})
}
