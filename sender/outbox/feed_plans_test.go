//go:build !race

package outbox

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// A backlog of events without a position costs no more than its events, also
// if the statistics are from a time when there was no backlog.
func TestPlans_FeedPlacesABacklog(t *testing.T) {
	t.Parallel()
	tracedEach(t, func(t *testing.T, o *inside, c *tracer) {
		if o.db.Dialect() == jobdb.SQLite {
			t.Skip("events get their positions when they are inserted there")
		}
		o.endpoint("shop", 0)
		_, err := o.App("shop").Publish(t.Context(), &payload.Event{
			Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
		}, WithEventID("one"))
		require.NoError(t, err)
		o.exec(`ALTER TABLE {schema}outbox_event SET (autovacuum_enabled = off)`)
		columns := o.columns("outbox_event", "id", "position")
		fill := func(position string, from, to int) {
			o.exec(`INSERT INTO {schema}outbox_event (id, position, `+columns+`) SELECT 'evt_' || n, `+position+`, `+columns+`
				FROM {schema}outbox_event, generate_series(CAST(? AS bigint), CAST(? AS bigint)) AS n WHERE id = 'one'`, from, to)
		}
		fill(`n`, 1, 20_000)
		_, err = o.App("shop").Events(t.Context(), EventFilter{}, Page{})
		require.NoError(t, err)
		o.exec(`ANALYZE`)
		fill(`0`, 20_001, 25_000)
		c.take()
		_, err = o.App("shop").Events(t.Context(), EventFilter{}, Page{})
		require.NoError(t, err)
		for _, e := range c.take() {
			require.LessOrEqual(t, e.read, 8*placeBatch, "%s\n%s", e.text, e.plan)
		}
	})
}
