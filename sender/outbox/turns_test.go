package outbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A rate limit that is lifted while turns are handed out leaves nobody behind with a turn of the old rate, an hour from now, be it
// that the turn was taken and not yet on record, or that it is taken by someone who still has the old rate in hand.
func TestNobodyKeepsATurnOfARateThatIsGone(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newHook(t, nil)
		slow, fast := 1.0/3600, 1000.0
		var ids []string
		for round := range max(fewer(20), 4) {
			c := endpointAt("shop", h.URL)
			c.RateLimit = slow
			e, _ := create(t, o, c)
			for range 4 {
				ids = append(ids, publish(t, o, "shop", event(payload.DeployLive, "d")).Deliveries[0].ID)
			}
			// The first is delivered at once. Of the others, none to all have a turn on record by now.
			want := int64(round % 4)
			eventually(t, func() bool {
				return w.queryInt(t, "SELECT count(*) FROM "+w.table("outbox_delivery")+" WHERE rate_slot_at > 0 AND endpoint = '"+e.ID+"'") >= want
			}, "no turns")
			_, err := o.UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &fast})
			require.NoError(t, err)
			for _, id := range ids[len(ids)-4:] {
				settled(t, o, id, outbox.Delivered)
			}
			require.NoError(t, o.DeleteEndpoint(t.Context(), e.ID))
		}
	})
}
