package outbox_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

var deadlockDeliveries = flag.Int("outbox.deadlocks", 0, "how many deliveries TestProofDeadlocks makes; 0: 2,000, or 200 without -outbox.full")

// TestProofDeadlocks delivers with two processes to endpoints that fail and
// recover again and again, so that jobs are put to sleep and woken up at the
// same time. PostgreSQL must find no deadlock.
func TestProofDeadlocks(t *testing.T) {
	t.Parallel()
	url := sqldbtest.NewDatabase(t)
	w := &world{url: url, pool: sqldbtest.OpenPool(t, url)}
	const endpoints = outbox.DefaultMaxEndpoints
	deliveries := given(*deadlockDeliveries, 2000)
	// Of each round of attempts, the first hundred fail, which opens all breakers.
	// Of the others every tenth fails.
	round := max(int64(deliveries/20), 300)
	var attempts atomic.Int64
	h := newTally(t, func() int {
		if n := attempts.Add(1); n%round < 100 || rand.IntN(10) == 0 {
			return 503
		}
		return 200
	})
	opts := []outbox.Option{
		outbox.WithBreaker(3, 50*time.Millisecond, 200*time.Millisecond), outbox.WithDisableAfter(0),
		outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff { return backoff.NewConstantBackOff(100 * time.Millisecond) }),
	}
	o := w.open(t, opts...)
	for i := range endpoints {
		c := endpointAt(fmt.Sprintf("%s/%d", h.URL, i))
		if i%4 == 0 {
			c.RateLimit = 1000
		}
		create(t, o.App("shop"), c)
	}
	require.NoError(t, o.Start(t.Context()))
	other := &world{url: url, pool: sqldbtest.OpenPool(t, url)}
	second := other.start(t, opts...)
	var publishers sync.WaitGroup
	for range 2 {
		publishers.Go(func() { publishMany(t, w, o, deliveries/endpoints/2, benchEvent()) })
	}
	publishers.Wait()
	pending := "SELECT count(*) FROM " + w.table("outbox_delivery") + " WHERE state = 'pending'"
	for done := false; !done; {
		before := h.n.Load()
		eventually(t, func() bool {
			done = w.queryInt(t, pending) == 0
			return done || h.n.Load() >= before+100
		}, "the deliveries do not go on")
	}
	total := w.queryInt(t, "SELECT sum(attempts) FROM "+w.table("outbox_delivery"))
	closeSlowly(t, second)
	closeSlowly(t, o)
	w.pool.Reset()
	other.pool.Close() // PostgreSQL counts what a connection has met at its end at the latest
	monitor := sqldbtest.OpenPool(t, url)
	eventually(t, func() bool {
		var n int
		require.NoError(t, monitor.QueryRow(context.Background(),
			`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'`).Scan(&n))
		return n == 0
	}, "connections do not end")
	var deadlocks int64
	require.NoError(t, monitor.QueryRow(t.Context(), `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`).Scan(&deadlocks))
	t.Logf("%d deliveries, %d attempts, %d deadlocks", deliveries/endpoints/2*2*endpoints, total, deadlocks)
	require.Zero(t, deadlocks)
}
