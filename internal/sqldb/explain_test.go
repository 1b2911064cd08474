package sqldb_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb"
)

// The error of a transaction that waits for the lock until its time is up says
// what to look for. This holds for the first one, and for those behind it.
func TestInTx_NamesTheLockAfterItsDeadline(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "test.db")
	db := openFile(t, path)
	other, err := sqldb.OpenSQLite(t.Context(), path, 1, sqldb.BusyTimeout)
	require.NoError(t, err)
	defer other.Close()
	holder, err := other.BeginTx(t.Context(), nil)
	require.NoError(t, err)
	defer func() { require.NoError(t, holder.Rollback()) }()

	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			err := sqldb.Explain(db.InTx(ctx, func(context.Context, *sqldb.Tx) error { return nil }))
			if err == nil {
				t.Error("the transaction has begun")
				return
			}
			assert.ErrorIs(t, err, context.DeadlineExceeded)
			assert.ErrorContains(t, err, "another process holds the lock on the file")
		})
	}
	all.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err = sqldb.Explain(db.InTx(ctx, func(context.Context, *sqldb.Tx) error { return nil }))
	require.ErrorIs(t, err, context.Canceled)
	require.NotContains(t, err.Error(), "lock", "the caller gave up")
}
