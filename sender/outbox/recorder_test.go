package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// An attempt that ran while its delivery was replayed is recorded. Unless it
// succeeded, it does not change the replay.
func TestRecorder_LateAnswerKeepsReplay(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		id := o.publishOne("shop")
		old := o.loaded(id)
		o.replay(id)
		before := o.loaded(id)
		require.NotEqual(t, old.job, before.job)
		for n, late := range []*result{old.failed(time.Now(), time.Time{}), old.failed(time.Now(), time.Now().Add(time.Hour))} {
			o.write(late)
			now := o.loaded(id)
			require.Equal(t, Pending, now.state)
			require.Equal(t, before.nextAt, now.nextAt, "the replay was put off")
			require.Equal(t, before.step, now.step, "the replay has lost an attempt")
			require.Equal(t, n+1, now.attempts)
			require.Zero(t, o.delivery(id).DoneAt)
		}
		end := time.Now()
		o.write(old.delivered(end))
		d := o.delivery(id)
		require.Equal(t, Delivered, d.State)
		require.Equal(t, stamp(end), d.DoneAt)
		require.Zero(t, d.NextAt)
		attempts, err := o.App("shop").Attempts(t.Context(), id)
		require.NoError(t, err)
		require.Len(t, attempts, 3)
	})
}

// A delivery that was canceled during an attempt stays canceled, unless the
// attempt succeeded.
func TestRecorder_LateFailureKeepsCanceled(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		id := o.publishOne("shop")
		d := o.loaded(id)
		require.NoError(t, o.App("shop").Disable(t.Context(), e, "test"))
		canceled := o.delivery(id)
		require.Equal(t, Canceled, canceled.State)
		o.write(d.failed(time.Now(), time.Now().Add(time.Hour)))
		got := o.delivery(id)
		require.Equal(t, Canceled, got.State)
		require.Equal(t, canceled.DoneAt, got.DoneAt)
		require.Zero(t, got.NextAt)
		end := time.Now()
		o.write(d.delivered(end))
		got = o.delivery(id)
		require.Equal(t, Delivered, got.State)
		require.Equal(t, stamp(end), got.DoneAt)
		o.write(d.failed(time.Now(), time.Time{}))
		require.Equal(t, Delivered, o.delivery(id).State, "a failure came after the success")
	})
}

// A worker is about to cancel a delivery, but the delivery was replayed or
// finished meanwhile. The worker leaves it alone.
func TestRecorder_LateCancellationIsIgnored(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		id := o.publishOne("shop")
		d := o.loaded(id)
		late := &result{id: id, job: d.job, state: Canceled, reason: "the endpoint is disabled", doneAt: time.Now()}
		o.replay(id)
		o.write(late)
		require.Equal(t, Pending, o.delivery(id).State, "the replay was canceled")
		d = o.loaded(id)
		late.job = d.job
		o.write(d.delivered(time.Now()))
		o.write(late)
		got := o.delivery(id)
		require.Equal(t, Delivered, got.State)
		require.Empty(t, got.LastError)
	})
}

// Two attempts of one delivery that end together, as after a replay, are both
// on record.
func TestRecorder_TwoAttemptsOfOneDelivery(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		o.endpoint("shop", 0)
		id, other := o.publishOne("shop"), o.publishOne("shop")
		old := o.loaded(id)
		o.replay(id)
		d := o.loaded(id)
		o.write(old.failed(time.Now(), time.Time{}), d.failed(time.Now(), time.Time{}), o.loaded(other).delivered(time.Now()))
		for id, want := range map[string]int{id: 2, other: 1} {
			require.Equal(t, want, o.delivery(id).Attempts)
			attempts, err := o.App("shop").Attempts(t.Context(), id)
			require.NoError(t, err)
			require.Len(t, attempts, want)
		}
		require.Equal(t, Failed, o.delivery(id).State)
	})
}

// The times of a failure and a success decide which came first, no matter
// whether one batch has both.
func TestRecorder_OrderOfFailureAndSuccess(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		a, b, c := o.loaded(o.publishOne("shop")), o.loaded(o.publishOne("shop")), o.loaded(o.publishOne("shop"))
		now := time.Now()
		ago := func(minutes int) time.Time { return now.Add(-time.Duration(minutes) * time.Minute) }

		o.write(a.failed(ago(9), ago(0)), b.delivered(ago(8)))
		require.Zero(t, o.shown(e).FailingSince, "it has succeeded since")
		o.write(a.failed(ago(7), ago(0)), b.delivered(ago(8)))
		require.Equal(t, stamp(ago(7)), o.shown(e).FailingSince)
		o.write(a.failed(ago(6), ago(0)))
		require.Equal(t, stamp(ago(7)), o.shown(e).FailingSince, "the first counts")
		o.write(b.delivered(ago(8)))
		require.Equal(t, stamp(ago(7)), o.shown(e).FailingSince, "the success was before")
		good := a.delivered(ago(5))
		o.write(good, b.delivered(ago(8)), c.delivered(ago(8)))
		require.Zero(t, o.shown(e).FailingSince, "the last success counts")
		require.False(t, good.recovered, "it was not failing")
		o.write(a.failed(ago(4), ago(0)))
		o.write(a.delivered(ago(8)), b.delivered(ago(3)))
		require.Zero(t, o.shown(e).FailingSince, "the last success counts")
	})
}

// The outcome of an attempt with an old configuration does not change the
// endpoint's health.
func TestRecorder_IgnoresOldConfiguration(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		_, err := o.App("shop").UpdateEndpoint(t.Context(), e, EndpointUpdate{Description: new("new")})
		require.NoError(t, err)
		o.write(d.failed(time.Now(), time.Now()))
		require.Zero(t, o.shown(e).FailingSince)
		o.health.storeOpenBreaker(t.Context(), d, time.Now().Add(time.Minute))
		require.Zero(t, o.shown(e).BreakerOpenUntil)

		began := time.Now().Add(-time.Minute)
		fresh := o.loaded(d.id)
		o.write(fresh.failed(began, time.Now()))
		o.health.storeOpenBreaker(t.Context(), fresh, began.Add(time.Hour))
		o.write(d.delivered(time.Now()))
		require.Equal(t, stamp(began), o.shown(e).FailingSince)
		require.Equal(t, stamp(began.Add(time.Hour)), o.shown(e).BreakerOpenUntil)
	})
}

// A batch locks the endpoints whose health it changes in the order of their
// IDs, so that two processes can't deadlock.
func TestRecorder_LocksEndpointsInOrder(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() == jobdb.SQLite {
			return // which has one writer at a time
		}
		fails, recovers := o.endpoint("a", 0), o.endpoint("b", 0)
		require.Less(t, fails, recovers)
		good, bad := o.loaded(o.publishOne("b")), o.loaded(o.publishOne("a"))
		o.health.storeOpenBreaker(t.Context(), good, time.Now().Add(time.Minute))
		written := make(chan error, 1)
		require.NoError(t, o.db.InTx(t.Context(), func(ctx context.Context, tx *jobdb.Tx) error {
			var pid, waiting int64
			if err := tx.QueryRow(ctx, `SELECT pg_backend_pid() FROM {schema}outbox_endpoint WHERE id = ? FOR UPDATE`, recovers).Scan(&pid); err != nil {
				return err
			}
			go func() {
				_, err := o.worker.recorder.save(context.Background(), []*result{good.delivered(time.Now()), bad.failed(time.Now(), time.Now())})
				written <- err
			}()
			for waiting == 0 {
				if err := o.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity WHERE ? = ANY(pg_blocking_pids(pid))`, pid).Scan(&waiting); err != nil {
					return err
				}
			}
			return o.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
				free, err := jobdb.Collect(ctx, tx, scanText, `SELECT id FROM {schema}outbox_endpoint WHERE id = ? FOR UPDATE SKIP LOCKED`, fails)
				require.Empty(t, free)
				return err
			})
		}))
		require.NoError(t, <-written)
		require.NotZero(t, o.shown(fails).FailingSince)
		require.Zero(t, o.shown(recovers).BreakerOpenUntil)
	})
}

// A batch with attempts and with deliveries that end without one locks all of
// them in the order of their IDs.
func TestRecorder_LocksDeliveriesInOrder(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() == jobdb.SQLite {
			return // which has one writer at a time
		}
		o.endpoint("shop", 0)
		attempted, ended := o.loaded(o.publishOne("shop")), o.loaded(o.publishOne("shop"))
		free := o.whileHeld(attempted.id, func() error {
			_, err := o.worker.recorder.save(context.Background(), []*result{
				attempted.delivered(time.Now()), {id: ended.id, job: ended.job, state: Canceled, doneAt: time.Now()},
			})
			return err
		})
		require.Equal(t, []string{ended.id}, free)
		require.Equal(t, Delivered, o.delivery(attempted.id).State)
		require.Equal(t, Canceled, o.delivery(ended.id).State)
	})
}

// When an endpoint has recovered, its waiting deliveries are not the work of
// the recorder, which other endpoints need.
func TestRecorder_RecoveryLeavesDeliveriesAlone(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		d := o.loaded(o.publishOne("shop"))
		o.health.storeOpenBreaker(t.Context(), d, time.Now().Add(5*time.Minute))
		var held []string
		for range 100 {
			held = append(held, o.publishOne("shop"))
		}
		o.write(d.delivered(time.Now()))
		require.Zero(t, o.shown(e).BreakerOpenUntil)
		for _, id := range held {
			require.Greater(t, o.runsIn(id), time.Minute)
		}
		require.True(t, o.isRoused(e))
		require.Equal(t, len(held), o.search(e, "", 1000).Woken)
	})
}
