package outbox

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
)

// An event is pruned while it is published again, after the insert has found it
// and before it is read. It is then published as a new one. A trigger stands in
// for the other process.
func TestPublish_EventPrunedMeanwhile(t *testing.T) {
	t.Parallel()
	insideEach(t, func(t *testing.T, o *inside) {
		if o.db.Dialect() != jobdb.Postgres {
			return // SQLite has one writer at a time
		}
		o.endpoint("shop", 0)
		event := stepOf(payload.DeployLive)
		first, err := o.App("shop").Publish(t.Context(), event, WithEventID("evt_1"))
		require.NoError(t, err)
		o.exec(`DELETE FROM {schema}outbox_delivery`)
		o.exec(`CREATE FUNCTION {schema}prune() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			DELETE FROM {schema}outbox_body WHERE created_at = (SELECT min(created_at) FROM {schema}outbox_body);
			DELETE FROM {schema}outbox_event WHERE created_at = (SELECT min(created_at) FROM {schema}outbox_event);
			DROP TRIGGER prune ON {schema}outbox_event;
			RETURN NULL; END $$`)
		o.exec(`CREATE TRIGGER prune AFTER INSERT ON {schema}outbox_event FOR EACH STATEMENT EXECUTE FUNCTION {schema}prune()`)
		again, err := o.App("shop").Publish(t.Context(), event, WithEventID("evt_1"))
		require.NoError(t, err)
		require.False(t, again.Duplicate)
		require.Len(t, again.Deliveries, 1)
		require.NotEqual(t, first.Deliveries[0].ID, again.Deliveries[0].ID)
	})
}
