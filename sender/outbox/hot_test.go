package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// TestAttempts_UpdateInPlace checks that PostgreSQL updates a delivery in place
// (HOT) for nearly every attempt that does not end it. It can't if an attempt
// changes a column that is in an index, or if the pages are full. One of five
// endpoints is down, so each page has the deliveries of several endpoints.
//
// The attempts are recorded one after the other. How many are recorded in one
// transaction depends on the speed of the machine, and a transaction can't
// use the room of the versions that it replaces.
func TestAttempts_UpdateInPlace(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() == jobdb.SQLite {
			return // it has no such updates
		}
		const (
			events   = 100
			good     = 4
			attempts = 6
			all      = events * (good + 1)
		)
		// An ANALYZE in the background can see old versions, so no page is cleaned
		// while it runs.
		o.exec(`ALTER TABLE {schema}outbox_delivery SET (autovacuum_enabled = off)`)
		for range good + 1 {
			o.endpoint("shop", 0)
		}
		var down []string
		for range events {
			first := o.publishOne("shop")
			down = append(down, first)
			page, err := o.App("shop").Deliveries(t.Context(), DeliveryFilter{EventID: o.delivery(first).EventID}, Page{})
			require.NoError(t, err)
			require.Len(t, page.Items, good+1)
			for _, d := range page.Items {
				if d.ID != first {
					o.write(o.loaded(d.ID).delivered(time.Now()))
				}
			}
		}
		for n := range attempts {
			next := time.Now().Add(time.Hour)
			if n == attempts-1 {
				next = time.Time{}
			}
			for _, id := range down {
				o.write(o.loaded(id).failed(time.Now(), next))
			}
		}
		stat := func(column string) (n int64) {
			require.NoError(t, o.db.QueryRow(t.Context(), "SELECT "+column+" FROM pg_stat_user_tables WHERE relname = 'outbox_delivery'").Scan(&n))
			return n
		}
		for stat("n_tup_upd") < all+events*(attempts-1) { // sessions report with a delay
			time.Sleep(50 * time.Millisecond) // statistics come from another process
		}
		updates, hot := stat("n_tup_upd")-all, stat("n_tup_hot_upd") // the last attempt of each ends it
		t.Logf("%d of %d updates that end no delivery were in place (%.1f %%)", hot, updates, 100*float64(hot)/float64(updates))
		require.GreaterOrEqual(t, float64(hot), 0.9*float64(updates))
	})
}
