package outbox

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// older moves the end of a delivery, and its event, further into the past.
func (o *inside) older(id string, d time.Duration) {
	o.t.Helper()
	o.exec(`UPDATE {schema}outbox_event SET created_at = created_at - ? WHERE app = (SELECT app FROM {schema}outbox_delivery WHERE id = ?)
		AND id = (SELECT event FROM {schema}outbox_delivery WHERE id = ?)`, d.Microseconds(), id, id)
	o.exec(`UPDATE {schema}outbox_delivery SET created_at = created_at - ?, done_at = CASE WHEN done_at > 0 THEN done_at - ? ELSE 0 END WHERE id = ?`,
		d.Microseconds(), d.Microseconds(), id)
}

func (o *inside) attempts(id string) (n int) {
	o.t.Helper()
	require.NoError(o.t, o.db.QueryRow(o.t.Context(), `SELECT count(*) FROM {schema}outbox_attempt WHERE delivery = ?`, id).Scan(&n))
	return n
}

// A waiting delivery is neither pruned nor counted, no matter how old it is and
// how many there are.
func TestWhatWaitsIsNeverPruned(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		waits, done := o.publishOne("shop"), o.publishOne("shop")
		o.write(o.loaded(waits).failed(time.Now(), time.Now()), o.loaded(done).delivered(time.Now()))
		o.older(waits, 1000*time.Hour)
		o.exec(`UPDATE {schema}outbox_delivery SET next_at = 1, size = 1000000 WHERE id = ?`, waits)
		n, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, n, "the limit is for what is done")
		o.retention.maxBytes = 1
		n, err = o.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.Equal(t, Pending, o.delivery(waits).State)
		require.Equal(t, 1, o.attempts(waits))
		require.Zero(t, o.attempts(done))
	}, WithRetention(time.Hour, 100_000), WithDeadRetention(time.Hour))
}

// Many waiting deliveries do not keep finished ones from being pruned. Each
// kind has its own retention, and either may be the longer one.
func TestEachKindHasItsOwnRetention(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		done, dead time.Duration
		want       map[State]bool
	}{
		"done longer": {24 * time.Hour, time.Hour, map[State]bool{Delivered: true, Failed: false}},
		"dead longer": {time.Hour, 24 * time.Hour, map[State]bool{Delivered: false, Failed: true}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			insideEach(t, func(t *testing.T, o *inside) {
				o.endpoint("shop", 0)
				ids := map[State]string{Delivered: o.publishOne("shop"), Failed: o.publishOne("shop")}
				o.write(o.loaded(ids[Delivered]).delivered(time.Now()), o.loaded(ids[Failed]).failed(time.Now(), time.Time{}))
				o.multiply(o.publishOne("shop"))
				for _, id := range ids {
					o.older(id, 2*time.Hour)
				}
				n, err := o.Prune(t.Context())
				require.NoError(t, err)
				require.Equal(t, 1, n)
				for state, id := range ids {
					_, err := o.App("shop").Delivery(t.Context(), id)
					require.Equal(t, c.want[state], err == nil, state)
				}
				require.EqualValues(t, 1024, o.count(`state = 'pending'`))
			}, WithRetention(c.done, 0), WithDeadRetention(c.dead))
		})
	}
}

func TestPruningEndsWhenAllIsGone(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		young := o.publishOne("shop")
		o.write(o.loaded(young).delivered(time.Now()))
		o.multiply(o.publishOne("shop"))
		o.exec(`UPDATE {schema}outbox_delivery SET state = 'canceled', done_at = 1 WHERE state = 'pending'`)
		n, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1024, n)
		require.Equal(t, Delivered, o.delivery(young).State)
		require.Equal(t, 1, o.attempts(young))
	})
}

// An event's ID is remembered for the retention, and as long as the event has a
// delivery. IDs are scoped to an app.
func TestEventIDsAreForgottenWithTheirDeliveries(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		require.NoError(t, o.RegisterApp(t.Context(), "quiet"))
		fresh := &payload.Event{
			Type: "deploy.canary", Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "d", App: "shop",
			Environment: "production",
		}
		publish := func(app, id string) Publication {
			p, err := o.App(app).Publish(t.Context(), fresh, WithEventID(id))
			require.NoError(t, err)
			return p
		}
		dead, done := publish("shop", "dead").Deliveries[0].ID, publish("shop", "done").Deliveries[0].ID
		publish("quiet", "dead")
		o.write(o.loaded(dead).failed(time.Now(), time.Time{}), o.loaded(done).delivered(time.Now()))
		o.older(dead, 2*time.Hour)
		o.older(done, 2*time.Hour)
		o.exec(`UPDATE {schema}outbox_event SET created_at = 1 WHERE app = 'quiet'`)
		publish("quiet", "young")
		n, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		require.True(t, publish("shop", "dead").Duplicate)
		require.False(t, publish("shop", "done").Duplicate)
		require.False(t, publish("quiet", "dead").Duplicate, "another app's delivery")
		require.True(t, publish("quiet", "young").Duplicate)
	}, WithRetention(time.Hour, 0), WithDeadRetention(24*time.Hour), WithEventRetention(time.Hour))
}

// The number of rows to delete fits even if the products on the way do not.
func TestShare_LargeTables(t *testing.T) {
	t.Parallel()
	const gigabyte, rows int64 = 1_000_000_000, 100_000_000
	require.Equal(t, rows, share(100*gigabyte, 100*gigabyte, rows))
	require.Equal(t, 99*rows/100, share(99*gigabyte, 100*gigabyte, rows))
	require.Equal(t, int64(math.MaxInt64-1), share(math.MaxInt64-1, math.MaxInt64, math.MaxInt64))
	require.EqualValues(t, 3, share(3, 10, 10))
	require.Zero(t, share(1, 10, 9))
}
