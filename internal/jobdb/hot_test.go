package jobdb_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// updates waits for n updates of rows, and returns how many of them PostgreSQL
// has done in place (HOT). The servers of connections report them at the end.
func updates(t *testing.T, db *jobdb.DB, n int64) (hot int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		db.Pool().Reset()
		var all int64
		require.NoError(t, db.QueryRow(t.Context(), "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = ?", table).Scan(&all, &hot))
		return all == n
	}, patience, 20*tick)
	return hot
}

// A claim writes to no index, as long as its page has room. Here it has enough
// for all rows.
func TestClaim_IsHOT(t *testing.T) {
	t.Parallel()
	const all = 60
	db := onPool(t, sqldbtest.NewPool(t))
	require.NoError(t, db.Prepare(t.Context(), "test", steps, jobdb.Setup{Polling: true}))
	q := newQueue(db)
	q.NeverPoll()
	jobs := many()[:all]
	for i := range jobs {
		jobs[i].Wait = 0
	}
	insert(t, db, q, jobs...)
	w, claims, _ := hold(t)
	start(t, q, w, func(c *jobdb.QueueConfig) { c.AtOnce = all / 2 })
	for range all / 2 {
		receive(t, claims)
	}
	require.EqualValues(t, all/2, updates(t, db, all/2))
}
