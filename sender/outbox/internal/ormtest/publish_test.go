package ormtest

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

const patience = 10 * time.Minute

var errGivenUp = errors.New("given up")

// customer is an endpoint that counts the deliveries of each event.
type customer struct {
	*httptest.Server

	mu  sync.Mutex
	got map[string]int
}

func newCustomer(t *testing.T, o *outbox.Outbox) *customer {
	t.Helper()
	c := &customer{got: map[string]int{}}
	c.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got[r.Header.Get("Webhook-Id")]++
	}))
	t.Cleanup(c.Close)
	_, _, err := o.App("shop").CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(c.URL)})
	require.NoError(t, err)
	return c
}

func (c *customer) count(delivery string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got[delivery]
}

func live(deployment string) *payload.Event {
	return &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: deployment, App: "api-service",
		Environment: "production",
	}
}

// The application's row and the event exist together, or not at all.
func TestPublishTx(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o *outbox.Outbox, lib library, _ backend) {
		app, server, ctx := o.App("shop"), newCustomer(t, o), t.Context()
		publish := func(end error) (p outbox.Publication, err error) {
			err = lib.inTx(ctx, func(tx *sql.Tx, insert func(r release) error) error {
				require.NoError(t, insert(release{ID: "dep_1", Version: "v1"}))
				p, err = app.PublishTx(ctx, tx, live("dep_1"), outbox.WithEventID("dep_1:live"))
				return errors.Join(err, end)
			})
			return p, err
		}

		_, err := publish(errGivenUp)
		require.ErrorIs(t, err, errGivenUp)
		requireRows(t, lib)

		p, err := publish(nil)
		require.NoError(t, err)
		require.False(t, p.Duplicate, "the first transaction was rolled back")
		requireRows(t, lib, "dep_1")
		require.Len(t, p.Deliveries, 1)
		require.Eventually(t, func() bool { return server.count(p.Deliveries[0].ID) == 1 }, patience, 10*time.Millisecond)

		require.NoError(t, lib.inTx(ctx, func(tx *sql.Tx, insert func(r release) error) error {
			require.NoError(t, insert(release{ID: "dep_2", Version: "v2"}))
			again, err := app.PublishTx(ctx, tx, live("dep_1"), outbox.WithEventID("dep_1:live"))
			assert.True(t, again.Duplicate)
			assert.Equal(t, p.Deliveries, again.Deliveries)
			return err
		}))
		requireRows(t, lib, "dep_1", "dep_2")
		all, err := app.Deliveries(ctx, outbox.DeliveryFilter{}, outbox.Page{})
		require.NoError(t, err)
		require.Len(t, all.Items, 1)
	})
}

func requireRows(t *testing.T, lib library, want ...string) {
	t.Helper()
	ids, err := lib.ids(t.Context())
	require.NoError(t, err)
	require.Equal(t, append([]string{}, want...), append([]string{}, ids...))
}

// After an error of PublishTx the application can commit its own rows.
func TestPublishTx_ErrorKeepsTheApplicationsRows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o *outbox.Outbox, lib library, _ backend) {
		app, ctx := o.App("shop"), t.Context()
		newCustomer(t, o)
		require.NoError(t, lib.inTx(ctx, func(tx *sql.Tx, insert func(r release) error) error {
			require.NoError(t, insert(release{ID: "dep_1", Version: "v1"}))
			_, err := o.App("unknown").PublishTx(ctx, tx, live("dep_1"), outbox.WithEventID("e1"))
			require.ErrorIs(t, err, outbox.ErrUnknownApp)
			kept, err := app.PublishTx(ctx, tx, live("dep_1"), outbox.WithEventID("e1"))
			require.NoError(t, err)
			require.Len(t, kept.Deliveries, 1)
			_, err = app.PublishTx(ctx, tx, live("dep_2"), outbox.WithEventID("e1"))
			require.ErrorIs(t, err, outbox.ErrConflict)
			return insert(release{ID: "dep_2", Version: "v1"})
		}))
		requireRows(t, lib, "dep_1", "dep_2")
	})
}

// Another transaction publishes under the same ID and does not end. The context
// of PublishTx ends first, and the application goes on without the event.
func TestPublishTx_ContextEndsKeepsTheApplicationsRows(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, o *outbox.Outbox, lib library, b backend) {
		if !b.postgres {
			return // a SQLite file has only one writing transaction
		}
		app := o.App("shop")
		newCustomer(t, o)
		holding, proceed := make(chan struct{}), make(chan struct{})
		held := make(chan error, 1)
		go func() {
			held <- lib.inTx(context.Background(), func(tx *sql.Tx, _ func(r release) error) error {
				_, err := app.PublishTx(context.Background(), tx, live("dep_1"), outbox.WithEventID("e1"))
				close(holding)
				<-proceed
				return errors.Join(err, errGivenUp)
			})
		}()
		<-holding
		err := lib.inTx(t.Context(), func(tx *sql.Tx, insert func(r release) error) error {
			require.NoError(t, insert(release{ID: "dep_1", Version: "v1"}))
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			_, err := app.PublishTx(ctx, tx, live("dep_1"), outbox.WithEventID("e1"))
			require.ErrorIs(t, err, context.DeadlineExceeded)
			if b.closes {
				return nil
			}
			return insert(release{ID: "dep_2", Version: "v1"})
		})
		close(proceed)
		require.ErrorIs(t, <-held, errGivenUp)
		if b.closes {
			require.ErrorIs(t, err, sql.ErrTxDone, "the commit")
			requireRows(t, lib)
		} else {
			require.NoError(t, err)
			requireRows(t, lib, "dep_1", "dep_2")
		}
		all, err := app.Deliveries(t.Context(), outbox.DeliveryFilter{}, outbox.Page{})
		require.NoError(t, err)
		require.Empty(t, all.Items)
	})
}
