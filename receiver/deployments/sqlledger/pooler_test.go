package sqlledger_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/sqlledger"
)

// Through PgBouncer in transaction mode pgx's default protocol is refused. With
// the documented setting, 500 records of two ledgers get 500 different numbers.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t)
	_, err := sqlledger.NewPostgres(t.Context(), openPostgres(t, pooled))
	require.ErrorIs(t, err, sqlledger.ErrConfig)
	require.ErrorContains(t, err, "default_query_exec_mode=exec")

	url := sqldbtest.ExecMode(t, pooled)
	ledgers := []*sqlledger.Ledger{newPostgres(t, openPostgres(t, url)), newPostgres(t, openPostgres(t, url))}
	var all sync.WaitGroup
	for worker := range 10 {
		all.Go(func() {
			for i := range 50 {
				id := fmt.Sprint(worker*50 + i)
				for _, status := range []payload.Status{payload.StatusPending, payload.StatusSuccess} {
					if _, err := ledgers[(worker+i)%2].Record(t.Context(), "acme", deployment(id, status)); err != nil {
						t.Errorf("record %s: %v", id, err)
						return
					}
				}
			}
		})
	}
	all.Wait()
	records, before := 0, int64(501)
	for p := (deployments.Page{}); ; {
		page, err := ledgers[0].List(t.Context(), "acme", deployments.Filter{}, p)
		require.NoError(t, err)
		for _, r := range page.Items {
			require.Equal(t, before-1, r.ID)
			require.Equal(t, payload.StatusSuccess, r.Deployment.Status)
			before = r.ID
			records++
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
	}
	require.Equal(t, 500, records)
}

// A pooler in session mode keeps prepared statements.
func TestPgBouncer_SessionMode(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t, "pool_mode = session")
	l := newPostgres(t, openPostgres(t, pooled), sqlledger.WithPreparedStatements())
	_, err := l.Record(t.Context(), "acme", deployment("1", payload.StatusPending))
	require.NoError(t, err)
}
