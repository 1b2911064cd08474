package outbox_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// TestLists_DoNotWaitForWriters holds SQLite's lock on the file while a publish
// waits for it.
func TestLists_DoNotWaitForWriters(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	w := &world{path: outbox.NewSQLite(t)}
	o := w.open(t)
	e, _ := create(t, o.App("shop"), endpointAt("http://127.0.0.1:1/"))
	first := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))

	db, err := lite(w.path)
	require.NoError(t, err)
	defer db.Close()
	tx, err := db.BeginTx(ctx, nil)
	require.NoError(t, err)
	defer func() { _ = tx.Rollback() }()
	_, err = o.App("shop").PublishTx(ctx, tx, event(payload.DeployLive, "dep_2"))
	require.NoError(t, err)
	published := make(chan error, 1)
	go func() {
		_, err := o.App("shop").Publish(ctx, event(payload.DeployLive, "dep_3"))
		published <- err
	}()

	list := func() []outbox.Delivery {
		t.Helper()
		page, err := o.App("shop").Deliveries(ctx, outbox.DeliveryFilter{}, outbox.Page{})
		require.NoError(t, err)
		return page.Items
	}
	assert.Len(t, list(), 1)
	delivery, err := o.App("shop").Delivery(ctx, first.Deliveries[0].ID)
	require.NoError(t, err)
	assert.NotEmpty(t, delivery.Body)
	_, err = o.App("shop").Attempts(ctx, delivery.ID)
	require.NoError(t, err)
	_, err = o.App("shop").Endpoint(ctx, e.ID)
	require.NoError(t, err)
	_, err = o.App("shop").Endpoints(ctx)
	require.NoError(t, err)
	_, err = o.Apps(ctx, outbox.Page{})
	require.NoError(t, err)
	_, err = o.App("shop").Replays(ctx, outbox.Page{})
	require.NoError(t, err)
	events, err := o.App("shop").Events(ctx, outbox.EventFilter{}, outbox.Page{})
	require.NoError(t, err)
	assert.Len(t, events.Items, 1)
	_, err = o.App("shop").Missed(ctx, e.ID, time.Time{})
	require.NoError(t, err)
	all, err := o.Stats(ctx)
	require.NoError(t, err)
	assert.Equal(t, outbox.Count{N: 1}, all.Pending)
	_, err = o.App("shop").Stats(ctx)
	require.NoError(t, err)
	_, err = o.App("shop").EndpointStats(ctx, e.ID)
	require.NoError(t, err)

	require.NoError(t, tx.Commit())
	assert.GreaterOrEqual(t, len(list()), 2)
	require.NoError(t, <-published)
	assert.Len(t, list(), 3)
}
