package outbox

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/riverdb"
)

// What waits to be called back is bounded, and taken in batches.
func TestCallinsAreBounded(t *testing.T) {
	t.Parallel()
	c := newCallins(nil)
	c.add(make([]int64, callinBacklog))
	c.add(make([]int64, callinBacklog))
	require.Len(t, c.jobs, callinBacklog)
	require.Len(t, c.take(), callinBatch)
	require.Len(t, c.jobs, callinBacklog-callinBatch)
}

// A job that is gone keeps nobody else's from being called back, and one that is
// still running is called again until it has been put back.
func TestCallingBack(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		e := o.endpoint("shop", 0)
		o.exec(`UPDATE {schema}outbox_endpoint SET hold_until = ? WHERE id = ?`, micros(time.Now().Add(time.Minute)), e)
		held, running := o.loaded(o.publishOne("shop")).job, o.loaded(o.publishOne("shop")).job
		state := func(job int64) (s string) {
			require.NoError(t, o.db.QueryRow(t.Context(), `SELECT CAST(state AS text) FROM {schema}river_job WHERE id = ?`, job).Scan(&s))
			return s
		}
		require.Equal(t, "scheduled", state(held))
		o.exec(`UPDATE {schema}river_job SET state = 'running' WHERE id = ?`, running)
		again, err := o.calls.call(t.Context(), []int64{1 << 40, running, held})
		require.NoError(t, err)
		require.Equal(t, "available", state(held))
		require.Equal(t, []int64{running}, again)
		o.exec(`UPDATE {schema}river_job SET state = 'scheduled' WHERE id = ?`, running) // River has written it down
		again, err = o.calls.call(t.Context(), again)
		require.NoError(t, err)
		require.Empty(t, again)
		require.Equal(t, "available", state(running))
	})
}

// River writes that a job was put back while the job is called back. The job is not
// due then, so it has to be called again.
func TestCallingBackAJobThatIsPutBackMeanwhile(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() != riverdb.Postgres {
			return // SQLite has one connection, so nothing happens meanwhile
		}
		e := o.endpoint("shop", 0)
		o.exec(`UPDATE {schema}outbox_endpoint SET hold_until = ? WHERE id = ?`, micros(time.Now().Add(time.Hour)), e)
		job := o.loaded(o.publishOne("shop")).job
		o.exec(`UPDATE {schema}river_job SET state = 'running' WHERE id = ?`, job)
		var again []int64
		called := make(chan error, 1)
		require.NoError(t, o.db.InTx(t.Context(), func(ctx context.Context, tx *riverdb.Tx) error {
			if _, err := tx.Exec(ctx, `UPDATE {schema}river_job SET state = 'scheduled' WHERE id = ?`, job); err != nil {
				return err
			}
			go func() {
				var err error
				again, err = o.calls.call(t.Context(), []int64{job})
				called <- err
			}()
			for waiting := 0; waiting == 0; {
				if err := o.db.QueryRow(ctx, `SELECT count(*) FROM pg_stat_activity
					WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting); err != nil {
					return err
				}
			}
			return nil
		}))
		require.NoError(t, <-called)
		require.Equal(t, []int64{job}, again)
		again, err := o.calls.call(t.Context(), again)
		require.NoError(t, err)
		require.Empty(t, again)
	})
}
