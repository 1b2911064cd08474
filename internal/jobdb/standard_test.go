package jobdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // driver "pgx"
	_ "github.com/lib/pq"              // driver "postgres"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// onEachDriver runs a test with each driver of database/sql for PostgreSQL.
func onEachDriver(t *testing.T, test func(t *testing.T, db *jobdb.DB, standard *sql.DB)) {
	for _, driver := range []string{"pgx", "postgres"} {
		t.Run(driver, func(t *testing.T) {
			t.Parallel()
			url := sqldbtest.NewDatabase(t)
			pool := sqldbtest.OpenPool(t, url)
			standard, err := sql.Open(driver, url)
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, standard.Close()) })
			test(t, migrated(t, func() *jobdb.DB { return onPool(t, pool) }), standard)
		})
	}
}

// inStandard runs f in a transaction of database/sql, and commits it if f
// returns nil.
func inStandard(t *testing.T, db *jobdb.DB, standard *sql.DB, f func(tx *jobdb.Tx) error) error {
	t.Helper()
	tx, err := standard.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	own, err := db.WrapSQL(t.Context(), tx)
	require.NoError(t, err)
	if err := f(own); err != nil {
		require.NoError(t, tx.Rollback())
		return err
	}
	return tx.Commit()
}

func TestClient_StandardTransactionOnPostgres(t *testing.T) {
	t.Parallel()
	onEachDriver(t, func(t *testing.T, db *jobdb.DB, standard *sql.DB) {
		ctx := t.Context()
		client, _ := newClient(t, db)
		failed := errors.New("failed")
		require.ErrorIs(t, inStandard(t, db, standard, func(tx *jobdb.Tx) error {
			_, err := client.InsertTx(ctx, tx, noteArgs{"never"}, nil)
			require.NoError(t, err)
			return failed
		}), failed)

		due := time.Now().Add(time.Hour).Truncate(time.Millisecond)
		var kept []*rivertype.JobInsertResult
		require.NoError(t, inStandard(t, db, standard, func(tx *jobdb.Tx) (err error) {
			_, err = tx.Exec(ctx, "INSERT INTO {schema}thing (name, body) VALUES (?, ?)", "row", []byte{0, 0xff})
			require.NoError(t, err)
			kept, err = client.InsertManyTx(ctx, tx, []river.InsertManyParams{
				{Args: noteArgs{"one"}}, {Args: noteArgs{`"two", {3}`}, InsertOpts: &river.InsertOpts{ScheduledAt: due, Tags: []string{"red", "blue"}}},
			})
			return err
		}))
		require.Equal(t, 1, count(t, db, "name = 'row' AND body = ?", []byte{0, 0xff}))
		list, err := client.JobList(ctx, river.NewJobListParams().States(rivertype.JobStateAvailable, rivertype.JobStateScheduled))
		require.NoError(t, err)
		require.Len(t, list.Jobs, 2)
		second, err := client.JobGet(ctx, kept[1].Job.ID)
		require.NoError(t, err)
		assert.JSONEq(t, `{"note":"\"two\", {3}"}`, string(second.EncodedArgs))
		assert.True(t, due.Equal(second.ScheduledAt))
		assert.Equal(t, []string{"red", "blue"}, second.Tags)

		require.NoError(t, inStandard(t, db, standard, func(tx *jobdb.Tx) error {
			return changeJob(ctx, client, tx, kept[0].Job.ID)
		}))
		_, err = client.JobGet(ctx, kept[0].Job.ID)
		require.ErrorIs(t, err, river.ErrNotFound)
	})
}

// changeJob calls the methods for transactions that insert nothing. It deletes
// the job.
func changeJob(ctx context.Context, client jobdb.Client, tx *jobdb.Tx, id int64) error {
	_, err := client.JobGetTx(ctx, tx, id)
	if err != nil {
		return err
	}
	if job, err := client.JobCancelTx(ctx, tx, id); err != nil || job.State != rivertype.JobStateCancelled {
		return fmt.Errorf("JobCancelTx: %v, %w", job, err)
	}
	if job, err := client.JobRetryTx(ctx, tx, id); err != nil || job.State != rivertype.JobStateAvailable {
		return fmt.Errorf("JobRetryTx: %v, %w", job, err)
	}
	if list, err := client.JobListTx(ctx, tx, river.NewJobListParams()); err != nil || len(list.Jobs) != 2 {
		return fmt.Errorf("JobListTx: %v, %w", list, err)
	}
	_, err = client.JobDeleteTx(ctx, tx, id)
	return err
}

// noting records which jobs ran.
type noting struct {
	river.WorkerDefaults[noteArgs]

	mu    sync.Mutex
	notes map[string]bool
}

func (w *noting) Work(_ context.Context, job *river.Job[noteArgs]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.notes[job.Args.Note] = true
	return nil
}

func (w *noting) ran(notes ...string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, note := range notes {
		if !w.notes[note] {
			return false
		}
	}
	return true
}

// The worker never polls, so only the notification of the insertion can start
// the job.
func TestClient_StandardTransactionNotifiesWorkers(t *testing.T) {
	t.Parallel()
	onEachDriver(t, func(t *testing.T, db *jobdb.DB, standard *sql.DB) {
		ctx := t.Context()
		worker := &noting{notes: map[string]bool{}}
		workers := river.NewWorkers()
		river.AddWorker(workers, worker)
		client, err := db.NewClient(&river.Config{
			Workers: workers, Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: 5}}, FetchPollInterval: 24 * time.Hour,
		})
		require.NoError(t, err)
		require.NoError(t, client.Start(ctx))
		t.Cleanup(func() { require.NoError(t, client.Stop(context.WithoutCancel(ctx))) })

		// The worker listens as soon as a notification has started a job.
		var first []string
		require.Eventually(t, func() bool {
			first = append(first, fmt.Sprintf("first %d", len(first)))
			_, err := client.Insert(ctx, noteArgs{first[len(first)-1]}, nil)
			require.NoError(t, err)
			return len(first) > 2 && worker.ran(first[:len(first)-1]...)
		}, patience, 100*time.Millisecond)
		require.Eventually(t, func() bool { return worker.ran(first...) }, patience, 10*time.Millisecond)

		require.NoError(t, inStandard(t, db, standard, func(tx *jobdb.Tx) error {
			_, err := client.InsertManyTx(ctx, tx, []river.InsertManyParams{{Args: noteArgs{"standard"}}})
			return err
		}))
		require.Eventually(t, func() bool { return worker.ran("standard") }, patience, 10*time.Millisecond)
	})
}
