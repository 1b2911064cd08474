package riverfloor_test

import (
	"context"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/riverfloor"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const patience = 10 * time.Minute

type noteArgs struct {
	Note string `json:"note"`
}

func (noteArgs) Kind() string { return "note" }

type noteWorker struct {
	river.WorkerDefaults[noteArgs]

	worked atomic.Int64
}

func (w *noteWorker) Work(context.Context, *river.Job[noteArgs]) error {
	w.worked.Add(1)
	return nil
}

func TestJobsAreWorked(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		path := filepath.Join(t.TempDir(), "floor.db")
		jobsAreWorked(t, func(config river.Config) riverfloor.Client { return riverfloor.OpenSQLite(t, path, config) })
	})
	t.Run("Postgres", func(t *testing.T) {
		t.Parallel()
		pool := sqldbtest.NewPool(t)
		jobsAreWorked(t, func(config river.Config) riverfloor.Client { return riverfloor.OpenPostgres(t, pool, "floor", config) })
	})
}

func jobsAreWorked(t *testing.T, open func(river.Config) riverfloor.Client) {
	t.Helper()
	worker, workers := &noteWorker{}, river.NewWorkers()
	river.AddWorker(workers, worker)
	client := open(river.Config{Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 5}}})
	require.NoError(t, client.InsertTx(t.Context(), noteArgs{"one"}))
	_, err := client.InsertMany(t.Context(), []river.InsertManyParams{{Args: noteArgs{"two"}}, {Args: noteArgs{"three"}}})
	require.NoError(t, err)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.Stop(context.WithoutCancel(t.Context()))) })
	require.Eventually(t, func() bool { return worker.worked.Load() == 3 }, patience, 5*time.Millisecond)
}
