package jobdb_test

import (
	"context"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// BenchmarkQueue measures jobs that have nothing to do, from their insertion to
// their end.
func BenchmarkQueue(b *testing.B) {
	b.Run("SQLite", func(b *testing.B) {
		db, err := jobdb.OpenSQLite(b.Context(), filepath.Join(b.TempDir(), "bench.db"))
		require.NoError(b, err)
		defer db.Close()
		benchQueue(b, db)
	})
	b.Run("Postgres", func(b *testing.B) {
		db, err := jobdb.NewPostgres(sqldbtest.NewPool(b), schema)
		require.NoError(b, err)
		benchQueue(b, db)
	})
}

func benchQueue(b *testing.B, db *jobdb.DB) {
	const batch, atOnce = 100, 500
	ctx := context.WithoutCancel(b.Context())
	require.NoError(b, db.Migrate(ctx, "test", steps))
	q, left, ended := newQueue(db), atomic.Int64{}, make(chan struct{})
	c := config(func(context.Context, jobdb.Claim) jobdb.Next {
		if left.Add(-1) == 0 {
			close(ended)
		}
		return jobdb.Done()
	})
	c.AtOnce, c.StopTimeout = atOnce, patience
	left.Store(int64(b.N))
	require.NoError(b, q.Start(ctx, c))
	b.ResetTimer()
	for from := 0; from < b.N; from += batch {
		jobs := make([]jobdb.NewJob, min(batch, b.N-from))
		for i := range jobs {
			jobs[i].Ref = strconv.Itoa(from + i)
		}
		require.NoError(b, db.InTx(ctx, func(ctx context.Context, tx *jobdb.Tx) error {
			_, err := q.Insert(ctx, tx, jobs)
			return err
		}))
		q.Kick()
	}
	<-ended
	require.NoError(b, q.Stop(ctx)) // it waits for the end of their rows
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
}
