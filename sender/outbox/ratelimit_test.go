package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender/outbox"
)

// limitedTo creates an endpoint with a rate limit and publishes events for it.
func limitedTo(t *testing.T, o *outbox.Outbox, url string, rate float64, events int) (e outbox.Endpoint, ids []string) {
	t.Helper()
	c := endpointAt(url)
	c.RateLimit = rate
	e, _ = create(t, o.App("shop"), c)
	for range events {
		ids = append(ids, publish(t, o.App("shop"), event("deploy.canary", "d")).Deliveries[0].ID)
	}
	return e, ids
}

// A rate limit is lifted while deliveries wait for it. All are sent, also if
// the process that has lifted the limit stops at once, or if it does not
// deliver.
func TestRateLimit_LiftedLimitReleasesAll(t *testing.T) {
	t.Parallel()
	none := 0.0
	lift := func(t *testing.T, o *outbox.Outbox, e outbox.Endpoint) {
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e.ID, outbox.EndpointUpdate{RateLimit: &none})
		require.NoError(t, err)
	}
	for name, lifted := range map[string]func(t *testing.T, w *world, o *outbox.Outbox, e outbox.Endpoint){
		"process that goes on": func(t *testing.T, _ *world, o *outbox.Outbox, e outbox.Endpoint) { lift(t, o, e) },
		"process that stops": func(t *testing.T, w *world, o *outbox.Outbox, e outbox.Endpoint) {
			lift(t, o, e)
			require.NoError(t, o.Close())
			w.start(t)
		},
		"process that does not deliver": func(t *testing.T, w *world, o *outbox.Outbox, e outbox.Endpoint) {
			require.NoError(t, o.Close())
			o = w.open(t)
			lift(t, o, e)
			require.NoError(t, o.Close())
			w.start(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, w *world) {
				events := fewer(600)
				o, h := w.start(t), newHook(t, nil)
				e, _ := limitedTo(t, o, h.URL, 1.0/3600, events)
				eventually(t, func() bool { return w.asleep(t) == events-1 }, "some are not asleep")
				lifted(t, w, o, e)
				eventually(t, func() bool { return h.count() == events }, "some are not sent")
			})
		})
	}
}

// An endpoint with a rate limit of one attempt in an hour was not served for
// longer. Then one delivery is sent at once, not more, and the next one an hour
// later.
func TestRateLimit_PauseLosesNoSlot(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o, h := w.start(t), newHook(t, nil)
		const events = 20
		limitedTo(t, o, h.URL, 1.0/3600, events)
		for sent := 1; sent < 4; sent++ {
			eventually(t, func() bool { return h.count() == sent && w.asleep(t) == events-sent }, "a slot is lost")
			require.NoError(t, o.Close())
			require.Equal(t, sent, h.count())
			w.passes(t, 90*time.Minute)
			o = w.start(t)
		}
	})
}

// asleep returns how many jobs wait for their time.
func (w *world) asleep(t *testing.T) int {
	t.Helper()
	now := time.Now().UnixMicro()
	return int(w.queryInt(t, fmt.Sprintf("SELECT count(*) FROM %s WHERE run_at > %d AND claimed_until <= %d", w.table("outbox_job"), now, now)))
}

// passes moves the times in the database back, as if time had passed.
func (w *world) passes(t *testing.T, d time.Duration) {
	t.Helper()
	w.exec(t, fmt.Sprintf(`UPDATE {t} SET rate_slot_at = rate_slot_at - %d WHERE rate_slot_at > 0`, d.Microseconds()))
	w.exec(t, fmt.Sprintf(`UPDATE %s SET next_at = next_at - %d WHERE next_at > 0`, w.table("outbox_delivery"), d.Microseconds()))
	w.exec(t, fmt.Sprintf(`UPDATE %s SET run_at = run_at - %d WHERE claimed_until = 0`, w.table("outbox_job"), d.Microseconds()))
}
