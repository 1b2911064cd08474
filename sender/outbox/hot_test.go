package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/sender/outbox"
)

// TestAttempts_UpdateInPlace checks that PostgreSQL updates a delivery in place
// (HOT) for nearly every attempt that does not end it. It can't if an attempt
// changes a column that is in an index, or if the pages are full. One of five
// endpoints is down, so each page has the deliveries of several endpoints.
func TestAttempts_UpdateInPlace(t *testing.T) {
	t.Parallel()
	const (
		events   = 100
		good     = 4
		attempts = 6
		all      = events * (good + 1)
	)
	address := sqldbtest.NewDatabase(t)
	w := &world{url: address, pool: sqldbtest.OpenPool(t, address)}
	o := w.open(t, outbox.WithBreaker(1_000_000, time.Second, time.Second),
		outbox.WithSchedule(outbox.SchedulePlatform, func() backoff.BackOff {
			return backoff.WithMaxRetries(scheduledWait{200 * time.Millisecond}, attempts-1)
		}))
	up, down := newHook(t, nil), newHook(t, always(503))
	create(t, o.App("shop"), endpointAt(down.URL))
	for i := range good {
		create(t, o.App("shop"), endpointAt(fmt.Sprintf("%s/%d", up.URL, i)))
	}
	publishMany(t, w, o, events, benchEvent())
	require.NoError(t, o.Start(t.Context()))
	pending := "SELECT count(*) FROM " + w.table("outbox_delivery") + " WHERE state = 'pending'"
	eventually(t, func() bool { return w.queryInt(t, pending) == 0 }, "some are still pending")
	stat := func(column string) int64 {
		return w.queryInt(t, "SELECT "+column+" FROM pg_stat_user_tables WHERE relname = 'outbox_delivery'")
	}
	eventually(t, func() bool { return stat("n_tup_upd") >= all+events*(attempts-1) }, "statistics are missing")
	updates, hot := stat("n_tup_upd")-all, stat("n_tup_hot_upd") // the last attempt of each ends it
	t.Logf("%d of %d updates that end no delivery were in place (%.1f %%)", hot, updates, 100*float64(hot)/float64(updates))
	require.GreaterOrEqual(t, float64(hot), 0.9*float64(updates))
}
