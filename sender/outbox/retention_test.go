package outbox_test

import (
	"context"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// age makes everything older, behind the outbox's back.
func (w *world) age(t *testing.T, d time.Duration) {
	t.Helper()
	for table, columns := range map[string][]string{"outbox_delivery": {"done_at"}, "outbox_event": {"created_at"}} {
		for _, c := range columns {
			w.exec(t, `UPDATE `+w.table(table)+` SET `+c+` = `+c+` - `+strconv.FormatInt(d.Microseconds(), 10)+` WHERE `+c+` > 0`)
		}
	}
}

func TestOldDeliveriesArePruned(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		w.start(t) // and prunes nothing by itself
		o := w.open(t, outbox.WithRetention(24*time.Hour, 0), outbox.WithDeadRetention(72*time.Hour),
			outbox.WithEventRetention(24*time.Hour))
		good, bad := newHook(t, nil), newHook(t, always(410))
		create(t, o.App("shop"), endpointAt(good.URL))
		create(t, o.App("blog"), endpointAt(bad.URL))
		delivered := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("one")).Deliveries[0].ID
		dead := publish(t, o.App("blog"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		settled(t, o, delivered, outbox.Delivered)
		settled(t, o, dead, outbox.Failed)

		n, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, n)
		w.age(t, 25*time.Hour)
		n, err = o.Prune(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, n)
		_, err = o.App("shop").Delivery(t.Context(), delivered)
		require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
		_, err = o.App("shop").Attempts(t.Context(), delivered)
		require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
		_, err = o.App("blog").Delivery(t.Context(), dead)
		require.NoError(t, err)
		require.False(t, publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"), outbox.WithEventID("one")).Duplicate,
			"the ID outlived its retention")

		w.age(t, 50*time.Hour)
		n, err = o.Prune(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, n, 1)
		_, err = o.App("blog").Delivery(t.Context(), dead)
		require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
	})
}

func TestRetentionInBytesKeepsTheNewest(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		const limit = 64 << 10
		w.start(t) // and prunes nothing by itself
		o := w.open(t, outbox.WithRetention(time.Hour, limit))
		h := newHook(t, nil)
		create(t, o.App("shop"), endpointAt(h.URL))
		var ids []string
		for range 40 {
			e := event(payload.DeployFailed, "dep_1")
			e.Error = strings.Repeat("x", 4000)
			ids = append(ids, publish(t, o.App("shop"), e).Deliveries[0].ID)
			settled(t, o, ids[len(ids)-1], outbox.Delivered)
		}
		waiting := publish(t, w.open(t).App("shop"), event(payload.DeployLive, "dep_2")).Deliveries[0].ID
		settled(t, o, waiting, outbox.Delivered)
		n, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.InDelta(t, 28, n, 6)
		_, err = o.App("shop").Delivery(t.Context(), ids[0])
		require.ErrorIs(t, err, outbox.ErrUnknownDelivery)
		_, err = o.App("shop").Delivery(t.Context(), ids[39])
		require.NoError(t, err)
		again, err := o.Prune(t.Context())
		require.NoError(t, err)
		require.Zero(t, again)
	})
}

// A dead letter that is replayed while it is being pruned stays, with its
// attempts.
func TestWhatIsReplayedMeanwhileIsNotPruned(t *testing.T) {
	t.Parallel()
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.start(t, outbox.WithDeadRetention(time.Hour))
	h := newHook(t, always(410))
	create(t, o.App("shop"), endpointAt(h.URL))
	id := publish(t, o.App("shop"), event(payload.DeployLive, "d")).Deliveries[0].ID
	settled(t, o, id, outbox.Failed)
	require.NoError(t, o.Stop(t.Context()))
	w.age(t, 2*time.Hour)
	tx, err := w.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), `UPDATE `+w.table("outbox_delivery")+` SET state = 'pending', done_at = 0 WHERE id = $1`, id)
	require.NoError(t, err)
	pruned := make(chan error, 1)
	go func() {
		_, err := o.Prune(context.Background())
		pruned <- err
	}()
	eventually(t, func() bool {
		var n int
		err := w.pool.QueryRow(context.Background(), `SELECT count(*) FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&n)
		return err == nil && n == 1
	}, "pruning waits for the lock")
	require.NoError(t, tx.Commit(t.Context()))
	require.NoError(t, <-pruned)
	d, err := o.App("shop").Delivery(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, outbox.Pending, d.State)
	attempts, err := o.App("shop").Attempts(t.Context(), id)
	require.NoError(t, err)
	require.Len(t, attempts, 1)
}
