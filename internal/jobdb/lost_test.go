package jobdb_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/jobdb"
)

// A claim that ended without a settlement is counted for good. One that was
// settled is not.
func TestClaim_LostCountsUnsettledClaims(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := open(), t.Context()
		require.NoError(t, db.Migrate(ctx, "test", []jobdb.Step{jobdb.QueueTable("lost_job")}))
		queue := jobdb.NewQueue(db, "lost_job", contain.New("test", slog.DiscardHandler))
		require.NoError(t, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			_, err := queue.Insert(ctx, tx, []jobdb.NewJob{{Ref: "a"}})
			return err
		}))
		hang := errors.New("the worker hangs")
		results := []jobdb.Next{
			jobdb.After(0), jobdb.Failed(errors.New("no")), jobdb.Failed(hang), jobdb.After(0), jobdb.Failed(hang), jobdb.Done(),
		}
		var mu sync.Mutex
		var lost []int
		hanging, release := make(chan struct{}, len(results)), make(chan struct{})
		work := func(_ context.Context, c jobdb.Claim) jobdb.Next {
			mu.Lock()
			result := results[len(lost)]
			lost = append(lost, c.Lost)
			mu.Unlock()
			if errors.Is(result.Err(), hang) {
				hanging <- struct{}{}
				<-release
			}
			return result
		}
		require.NoError(t, queue.Start(ctx, jobdb.QueueConfig{
			Name: "test", Work: work, AtOnce: len(results), Timeout: time.Hour, Lease: 2 * time.Hour, StopTimeout: time.Hour,
			Logger: slog.New(slog.DiscardHandler),
		}))
		for range 2 { // as if its process had died
			<-hanging
			_, err := db.Exec(ctx, "UPDATE {schema}lost_job SET claimed_until = 0")
			require.NoError(t, err)
		}
		require.Eventually(t, func() bool {
			mu.Lock()
			defer mu.Unlock()
			return len(lost) == len(results)
		}, 10*time.Minute, 10*time.Millisecond)
		close(release) // the settlements of lost claims change nothing
		require.NoError(t, queue.Stop(ctx))
		assert.Equal(t, []int{0, 0, 0, 1, 1, 2}, lost)
		var left int
		require.NoError(t, db.QueryRow(ctx, "SELECT count(*) FROM {schema}lost_job").Scan(&left))
		assert.Zero(t, left)
	})
}
