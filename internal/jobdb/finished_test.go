package jobdb_test

import (
	"context"
	"testing"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// finishArgs is a job whose worker deletes it and says so, or does only one of
// the two.
type finishArgs struct {
	Deletes bool `json:"deletes"`
	Says    bool `json:"says"`
}

func (finishArgs) Kind() string { return "jobdb_finish" }

type finishWorker struct {
	river.WorkerDefaults[finishArgs]

	db     *jobdb.DB
	client jobdb.Client
	done   chan int64
}

func (w *finishWorker) Work(ctx context.Context, job *river.Job[finishArgs]) (err error) {
	if job.Args.Deletes {
		err = w.db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error { return w.db.FinishTx(ctx, tx, []int64{job.ID}) })
	}
	if job.Args.Says {
		w.client.Finished(job.ID)
	}
	w.done <- job.ID
	return err
}

// River records what has become of a job, unless the worker says that it has
// finished the job.
func TestFinishTx(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := migrated(t, open), t.Context()
		w := &finishWorker{db: db, done: make(chan int64, 10)}
		workers := river.NewWorkers()
		river.AddWorker(workers, w)
		var err error
		w.client, err = db.NewClient(&river.Config{Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 5}}})
		require.NoError(t, err)
		var ids []int64
		for _, args := range []finishArgs{{}, {Deletes: true}, {Says: true}, {Deletes: true, Says: true}} {
			inserted, err := w.client.Insert(ctx, args, nil)
			require.NoError(t, err)
			ids = append(ids, inserted.Job.ID)
		}
		require.NoError(t, w.client.Start(ctx))
		for range ids {
			select {
			case <-w.done:
			case <-time.After(patience):
				t.Fatal("a job did not run")
			}
		}
		require.NoError(t, w.client.Stop(context.WithoutCancel(ctx)))

		list, err := w.client.JobList(ctx, river.NewJobListParams())
		require.NoError(t, err)
		states := map[int64]rivertype.JobState{}
		for _, job := range list.Jobs {
			states[job.ID] = job.State
		}
		assert.Equal(t, map[int64]rivertype.JobState{
			ids[0]: rivertype.JobStateCompleted,
			ids[2]: rivertype.JobStateRunning, // until River rescues it
		}, states)
	})
}

// A job that River has locked is left to River. Waiting for it could deadlock.
func TestFinishTx_LeavesLockedJobs(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, ctx := migrated(t, open), t.Context()
		if db.Dialect() == jobdb.SQLite {
			return // it locks no rows
		}
		client, _ := newClient(t, db)
		var ids []int64
		for range 2 {
			inserted, err := client.Insert(ctx, noteArgs{}, nil)
			require.NoError(t, err)
			ids = append(ids, inserted.Job.ID)
		}
		require.NoError(t, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			_, err := tx.Exec(ctx, "SELECT FROM {schema}river_job WHERE id = ? FOR UPDATE", ids[0])
			require.NoError(t, err)
			return open().InTx(ctx, func(ctx context.Context, other *jobdb.Tx) error { return db.FinishTx(ctx, other, ids) })
		}))
		list, err := client.JobList(ctx, river.NewJobListParams())
		require.NoError(t, err)
		require.Len(t, list.Jobs, 1)
		assert.Equal(t, ids[0], list.Jobs[0].ID)
	})
}

// A job has no indexes but those that something reads. The test fails if an
// update of River adds one.
func TestMigrate_LeavesOutNeedlessIndexes(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open func() *jobdb.DB) {
		db, want := migrated(t, open), []string{"river_job_prioritized_fetching_index", "river_job_state_and_finalized_at_index", "river_job_unique_idx"}
		query := `SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = 'river_job' ORDER BY name`
		if db.Dialect() == jobdb.Postgres {
			query, want = `SELECT indexname FROM pg_indexes WHERE schemaname = '`+db.Schema()+`' AND tablename = 'river_job' ORDER BY 1`,
				append([]string{"river_job_pkey"}, want...)
		}
		got, err := jobdb.Collect(t.Context(), db, func(r jobdb.Row) (name string, err error) { return name, r.Scan(&name) }, query)
		require.NoError(t, err)
		assert.Equal(t, want, got)
		for _, name := range db.Complete(&river.Config{}).ReindexerIndexNames {
			if db.Dialect() == jobdb.Postgres {
				assert.Contains(t, got, name)
			}
		}
	})
}
