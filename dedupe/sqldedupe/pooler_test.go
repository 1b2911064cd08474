package sqldedupe_test

import (
	"context"
	"database/sql"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/sqldedupe"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// PgBouncer in transaction mode does not work with pgx's default protocol, so
// the constructor refuses it. With a working protocol, each of 500 deliveries
// is granted to exactly one of two stores.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t)
	_, err := sqldedupe.NewPostgres(t.Context(), postgresDB(t, pooled))
	require.ErrorIs(t, err, sqldedupe.ErrConfig)
	require.ErrorContains(t, err, "default_query_exec_mode=exec")

	b := &backend{t: t, dialect: sqldedupe.Postgres, table: "pooled", open: func() *sql.DB {
		db := postgresDB(t, sqldbtest.ExecMode(t, pooled))
		// both stores together have more connections than PgBouncer
		db.SetMaxOpenConns(8)
		return db
	}}
	b.db = b.open()
	b.effects()
	stores := []*sqldedupe.Store{b.store(b.db), b.store(b.open())}
	const deliveries = 500
	var granted, completed, refused atomic.Int64
	var all sync.WaitGroup
	for worker := range 16 {
		all.Go(func() {
			s := stores[worker%2]
			for i := range deliveries {
				id := fmt.Sprintf("%d", (i+worker*31)%deliveries)
				c, err := s.Claim(t.Context(), key(id), amply)
				if err != nil {
					t.Errorf("claim %s: %v", id, err)
					return
				}
				if c.State != dedupe.Claimed {
					refused.Add(1)
					continue
				}
				granted.Add(1)
				if i%2 == 0 {
					err = s.Complete(t.Context(), c)
				} else {
					err = s.InTx(t.Context(), c, func(ctx context.Context, tx *sql.Tx) error { return b.effect(id)(ctx, tx) })
				}
				if err != nil {
					t.Errorf("complete %s: %v", id, err)
					return
				}
				completed.Add(1)
			}
		})
	}
	all.Wait()
	require.EqualValues(t, deliveries, granted.Load(), "0 lost, 0 doubled")
	require.EqualValues(t, deliveries, completed.Load())
	require.EqualValues(t, 15*deliveries, refused.Load())
	for i := range deliveries {
		claim(t, stores[i%2], key(fmt.Sprint(i)), amply, dedupe.Completed)
	}
	_, err = b.db.ExecContext(t.Context(), "UPDATE pooled SET expires = 'epoch', sweep = 'epoch'")
	require.NoError(t, err)
	pruned, err := stores[0].Prune(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 100, pruned)
	t.Logf("%d claims of %d deliveries: %d granted, %d completed", granted.Load()+refused.Load(), deliveries, granted.Load(), completed.Load())
}

// A pooler in session mode supports prepared statements.
func TestPgBouncer_SessionMode(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t, "pool_mode = session")
	s, err := sqldedupe.NewPostgres(t.Context(), postgresDB(t, pooled), sqldedupe.WithPreparedStatements())
	require.NoError(t, err)
	c := claim(t, s, key("1"), amply, dedupe.Claimed)
	require.NoError(t, s.Complete(t.Context(), c))
	claim(t, s, key("1"), amply, dedupe.Completed)
}
