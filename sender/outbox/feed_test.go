package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
)

// While somebody polls, events get their positions without another poll. When
// nobody has for a while, the background work ends, and the next poll shows
// all events at once.
func TestFeed_PlacesInTheBackgroundWhileSomebodyPolls(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() == jobdb.SQLite {
			t.Skip("events get their positions when they are inserted there")
		}
		a := o.App("shop")
		poll := func() int {
			page, err := a.Events(t.Context(), EventFilter{}, Page{})
			require.NoError(t, err)
			return len(page.Items)
		}
		unplaced := func() (n int64) {
			require.NoError(t, o.db.QueryRow(t.Context(), `SELECT count(*) FROM {schema}outbox_event WHERE position = 0`).Scan(&n))
			return n
		}
		o.endpoint("shop", 0)
		o.publishOne("shop")
		require.Equal(t, int64(1), unplaced(), "nobody polls")
		require.Equal(t, 1, poll())
		o.publishOne("shop")
		require.Eventually(t, func() bool { return unplaced() == 0 }, hangLimit, 5*time.Millisecond, "in the background")
		require.Equal(t, 2, poll())

		o.feed.mu.Lock()
		o.feed.asked = time.Now().Add(-placeFor)
		o.feed.mu.Unlock()
		o.feed.tasks.Wait()
		o.publishOne("shop")
		require.Equal(t, int64(1), unplaced())
		o.feed.mu.Lock()
		o.feed.placed = time.Now().Add(-placeAge)
		o.feed.mu.Unlock()
		require.Equal(t, 3, poll())
		require.NoError(t, o.Close())
		o.feed.tasks.Wait()
	})
}
