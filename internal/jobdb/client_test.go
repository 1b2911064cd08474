package jobdb_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

const patience = 10 * time.Minute

type noteArgs struct {
	Note string `json:"note"`
}

func (noteArgs) Kind() string { return "jobdb_note" }

type noteWorker struct {
	river.WorkerDefaults[noteArgs]

	worked atomic.Int64
}

func (w *noteWorker) Work(context.Context, *river.Job[noteArgs]) error {
	w.worked.Add(1)
	return nil
}

func newClient(t *testing.T, db *jobdb.DB) (jobdb.Client, *noteWorker) {
	t.Helper()
	worker := &noteWorker{}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := db.NewClient(&river.Config{
		Workers: workers,
		Queues:  map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 5}},
	})
	require.NoError(t, err)
	return client, worker
}

func TestClientWorksInsertedJobs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := migrated(t, open), t.Context()
		client, worker := newClient(t, db)
		require.NoError(t, client.Start(ctx))
		t.Cleanup(func() { require.NoError(t, client.Stop(context.WithoutCancel(ctx))) })

		require.NoError(t, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			_, err := client.InsertTx(ctx, tx, noteArgs{"one"}, nil)
			require.NoError(t, err)
			_, err = client.InsertManyTx(ctx, tx, []river.InsertManyParams{{Args: noteArgs{"two"}}, {Args: noteArgs{"three"}}})
			return err
		}))
		_, err := client.Insert(ctx, noteArgs{"four"}, nil)
		require.NoError(t, err)
		_, err = client.InsertMany(ctx, []river.InsertManyParams{{Args: noteArgs{"five"}}})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return worker.worked.Load() == 5 }, patience, 5*time.Millisecond)

		failed := errors.New("failed")
		require.ErrorIs(t, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			_, err := client.InsertTx(ctx, tx, noteArgs{"never"}, nil)
			require.NoError(t, err)
			return failed
		}), failed)
		list, err := client.JobList(ctx, river.NewJobListParams())
		require.NoError(t, err)
		assert.Len(t, list.Jobs, 5)
	})
}

func TestClientJobsInTransactions(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := migrated(t, open), t.Context()
		client, _ := newClient(t, db) // not started, because it only inserts
		inserted, err := client.Insert(ctx, noteArgs{"one"}, nil)
		require.NoError(t, err)
		id := inserted.Job.ID
		job, err := client.JobGet(ctx, id)
		require.NoError(t, err)
		assert.Equal(t, rivertype.JobStateAvailable, job.State)

		require.NoError(t, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			job, err := client.JobCancelTx(ctx, tx, id)
			require.NoError(t, err)
			assert.Equal(t, rivertype.JobStateCancelled, job.State)
			job, err = client.JobRetryTx(ctx, tx, id)
			require.NoError(t, err)
			assert.Equal(t, rivertype.JobStateAvailable, job.State)
			job, err = client.JobGetTx(ctx, tx, id)
			require.NoError(t, err)
			assert.Equal(t, id, job.ID)
			list, err := client.JobListTx(ctx, tx, river.NewJobListParams())
			require.NoError(t, err)
			assert.Len(t, list.Jobs, 1)
			_, err = client.JobDeleteTx(ctx, tx, id)
			return err
		}))
		_, err = client.JobGet(ctx, id)
		require.ErrorIs(t, err, river.ErrNotFound)
	})
}

func TestClientQueuesComeAndGo(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := migrated(t, open), t.Context()
		client, worker := newClient(t, db)
		require.NoError(t, client.Start(ctx))
		t.Cleanup(func() { require.NoError(t, client.Stop(context.WithoutCancel(ctx))) })
		require.NoError(t, client.Queues().Add("extra", river.QueueConfig{MaxWorkers: 1}))
		_, err := client.Insert(ctx, noteArgs{"one"}, &river.InsertOpts{Queue: "extra"})
		require.NoError(t, err)
		require.Eventually(t, func() bool { return worker.worked.Load() == 1 }, patience, 5*time.Millisecond)
		require.NoError(t, client.Queues().Remove(ctx, "extra"))
	})
}

func TestTwoHandlesShareOneDatabase(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		const jobs = 100
		ctx := t.Context()
		clients, workers := make([]jobdb.Client, 2), make([]*noteWorker, 2)
		for i := range clients {
			clients[i], workers[i] = newClient(t, migrated(t, open))
			require.NoError(t, clients[i].Start(ctx))
			t.Cleanup(func() { require.NoError(t, clients[i].Stop(context.WithoutCancel(ctx))) })
		}
		for i := range jobs {
			_, err := clients[i%2].Insert(ctx, noteArgs{"one"}, nil)
			require.NoError(t, err)
		}
		worked := func() int64 { return workers[0].worked.Load() + workers[1].worked.Load() }
		require.Eventually(t, func() bool { return worked() >= jobs }, patience, 5*time.Millisecond)
		assert.EqualValues(t, jobs, worked(), "none is worked twice")
	})
}
