package outbox_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

// countingTracer calls a function when figures are read.
type countingTracer struct{ begin atomic.Pointer[func()] }

// TraceQueryStart implements pgx.QueryTracer.
func (c *countingTracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	if begin := c.begin.Load(); begin != nil && strings.Contains(q.SQL, "set_config('enable_bitmapscan'") {
		(*begin)()
	}
	return ctx
}

// TraceQueryEnd implements pgx.QueryTracer.
func (c *countingTracer) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// onCounting calls f before figures are read from now on.
func (c *countingTracer) onCounting(f func()) { c.begin.Store(&f) }

// openCounting opens an outbox on PostgreSQL with an app.
func openCounting(t *testing.T) (*outbox.Outbox, *countingTracer) {
	t.Parallel()
	config, err := pgxpool.ParseConfig(sqldbtest.NewDatabase(t))
	require.NoError(t, err)
	c := &countingTracer{}
	config.MaxConns, config.ConnConfig.Tracer = sqldbtest.MaxConns, c
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	o := (&world{pool: pool}).open(t)
	create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"))
	return o, c
}

// While the database reads figures again, calls get the previous ones.
func TestStats_DoNotWaitForBackgroundReads(t *testing.T) {
	o, c := openCounting(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	before, err := o.App("shop").Stats(ctx)
	require.NoError(t, err)
	began, proceed := make(chan struct{}), make(chan struct{})
	var reads atomic.Int64
	c.onCounting(func() {
		if reads.Add(1) == 1 {
			close(began)
			<-proceed
		}
	})
	publish(t, o.App("shop"), event("deploy.live", "dep_1"))
	select {
	case <-began:
	case <-ctx.Done():
		t.Fatal("no read in the background")
	}
	for range 3 {
		asked := time.Now()
		if asked.Sub(before.AsOf) >= outbox.StatsAge {
			break // the machine is too slow
		}
		s, err := o.App("shop").Stats(ctx)
		require.NoError(t, err)
		require.Equal(t, before, s)
	}
	require.EqualValues(t, 1, reads.Load())
	close(proceed)
	eventually(t, func() bool {
		s, err := o.App("shop").Stats(ctx)
		require.NoError(t, err)
		return s.Pending.N == 1
	}, "the figures remain as they were")
}

// A panic while figures are read ends neither the process nor later reads.
func TestStats_ContainsFaults(t *testing.T) {
	o, c := openCounting(t)
	c.onCounting(func() { panic("broken") })
	_, err := o.Stats(t.Context())
	require.ErrorContains(t, err, "broken")
	require.Equal(t, map[string]uint64{"counting": 1}, o.Faults())
	c.onCounting(func() {})
	_, err = o.Stats(t.Context())
	require.NoError(t, err)
}

// Close ends a read and those that wait for it.
func TestStats_CloseEndsReads(t *testing.T) {
	o, c := openCounting(t)
	began, proceed := make(chan struct{}), make(chan struct{})
	var once sync.Once
	c.onCounting(func() {
		once.Do(func() {
			close(began)
			<-proceed
		})
	})
	failed := make(chan error, 1)
	go func() {
		_, err := o.App("shop").Stats(context.WithoutCancel(t.Context()))
		failed <- err
	}()
	<-began
	closed := make(chan error, 1)
	go func() { closed <- o.Close() }()
	eventually(t, func() bool {
		_, err := o.Stats(context.WithoutCancel(t.Context()))
		return errors.Is(err, outbox.ErrClosed)
	}, "the outbox does not close")
	close(proceed)
	require.NoError(t, <-closed)
	require.ErrorIs(t, <-failed, outbox.ErrClosed)
}
