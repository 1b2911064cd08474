package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// A deleted job does not keep others from being woken up. A job that is still
// running is returned until River has recorded its snooze.
func TestWaker_Retry(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		o.exec(`UPDATE {schema}outbox_endpoint SET breaker_open_until = ? WHERE id = ?`, micros(time.Now().Add(time.Minute)), e)
		waiting, running := o.loaded(o.publishOne("shop")).job, o.loaded(o.publishOne("shop")).job
		state := func(job int64) (s string) {
			require.NoError(t, o.db.QueryRow(t.Context(), `SELECT CAST(state AS text) FROM {schema}river_job WHERE id = ?`, job).Scan(&s))
			return s
		}
		require.Equal(t, "scheduled", state(waiting))
		o.exec(`UPDATE {schema}river_job SET state = 'running' WHERE id = ?`, running)
		again, err := o.waker.retry(t.Context(), []int64{1 << 40, running, waiting})
		require.NoError(t, err)
		require.Equal(t, "available", state(waiting))
		require.Equal(t, []int64{running}, again)
		o.exec(`UPDATE {schema}river_job SET state = 'scheduled' WHERE id = ?`, running) // River has recorded the snooze
		again, err = o.waker.retry(t.Context(), again)
		require.NoError(t, err)
		require.Empty(t, again)
		require.Equal(t, "available", state(running))
	})
}

// River records the snooze of a job while the job is woken up. The job is not
// due then, so it has to be woken up again.
func TestWaker_RetryWhileRiverRecordsTheSnooze(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() != riverdb.Postgres {
			return // SQLite has one connection, so nothing happens meanwhile
		}
		e := o.endpoint("shop", 0)
		o.exec(`UPDATE {schema}outbox_endpoint SET breaker_open_until = ? WHERE id = ?`, micros(time.Now().Add(time.Hour)), e)
		job := o.loaded(o.publishOne("shop")).job
		o.exec(`UPDATE {schema}river_job SET state = 'running' WHERE id = ?`, job)
		var again []int64
		woken := make(chan error, 1)
		require.NoError(t, o.db.InTx(t.Context(), func(ctx context.Context, tx *riverdb.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE {schema}river_job SET state = 'scheduled' WHERE id = ?`, job); err != nil {
				return err
			}
			go func() {
				var err error
				again, err = o.waker.retry(t.Context(), []int64{job})
				woken <- err
			}()
			for locked := 0; locked == 0; {
				if err := o.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&locked); err != nil {
					return err
				}
			}
			return nil
		}))
		require.NoError(t, <-woken)
		require.Equal(t, []int64{job}, again)
		again, err := o.waker.retry(t.Context(), again)
		require.NoError(t, err)
		require.Empty(t, again)
	})
}
