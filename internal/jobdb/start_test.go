package jobdb_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
)

// tooLong is longer than River waits for its listener, which is five seconds.
const tooLong = 6 * time.Second

// slowListener delays the statement by which a client listens for new jobs,
// until River gives up.
type slowListener struct{ slow, tried atomic.Int64 }

// TraceQueryStart implements pgx.QueryTracer.
func (l *slowListener) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if strings.HasPrefix(q.SQL, "LISTEN") && strings.Contains(q.SQL, "river_insert") && l.tried.Add(1) <= l.slow.Load() {
		select {
		case <-ctx.Done():
		case <-time.After(patience):
		}
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (l *slowListener) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func newSlowListener(t *testing.T, slow int64) (*slowListener, jobdb.Client, *noteWorker) {
	config, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
	require.NoError(t, err)
	l := &slowListener{}
	l.slow.Store(slow)
	config.MaxConns, config.ConnConfig.Tracer = sqldbtest.MaxConns, l
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	client, worker := newClient(t, migrated(t, func() *jobdb.DB { return onPool(t, pool) }))
	return l, client, worker
}

func TestClientStart_TriesSlowListenerAgain(t *testing.T) {
	t.Parallel()
	l, client, worker := newSlowListener(t, 1)
	require.NoError(t, client.Start(t.Context()))
	t.Cleanup(func() { require.NoError(t, client.Stop(context.WithoutCancel(t.Context()))) })
	require.GreaterOrEqual(t, l.tried.Load(), int64(2))
	_, err := client.Insert(t.Context(), noteArgs{"one"}, nil)
	require.NoError(t, err)
	require.Eventually(t, func() bool { return worker.worked.Load() == 1 }, patience, 5*time.Millisecond)
}

func TestClientStart_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	l, client, _ := newSlowListener(t, 100)
	ctx, cancel := context.WithTimeout(t.Context(), tooLong+time.Second)
	defer cancel()
	require.Error(t, client.Start(ctx))
	require.Error(t, ctx.Err())
	require.LessOrEqual(t, l.tried.Load(), int64(3))
}
