package inbox_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// A role with the documented rights can do everything on tables that another
// role made. The server logs no error.
func TestLeastPrivilege(t *testing.T) {
	t.Parallel()
	r, ctx := sqldbtest.NewRestricted(t), t.Context()
	pool := sqldbtest.OpenPool(t, r.Service)
	handler := func(_ context.Context, e *payload.Event) error {
		if e.DeploymentID == "bad" {
			return inbox.Permanent(errors.New("bad"))
		}
		return nil
	}
	open := func(opts ...inbox.Option) (*inbox.Inbox, error) {
		return inbox.NewPostgres(ctx, pool, handler, append(testOptions(), opts...)...)
	}
	try := func(opts ...inbox.Option) error {
		_, err := open(opts...)
		return err
	}
	r.Prepare(inbox.ErrConfig, func() {
		require.ErrorContains(t, try(), "CREATE SCHEMA")
		require.NoError(t, inbox.Migrate(ctx, sqldbtest.OpenPool(t, r.Owner)))
	}, func() error { return try() }, func() error { return try(inbox.WithoutMigration()) })
	r.Refused("DROP TABLE deployhook_inbox.inbox_job")

	for _, opts := range [][]inbox.Option{nil, {inbox.WithoutMigration(), inbox.WithOrdering()}} {
		in, err := open(opts...)
		require.NoError(t, err)
		d := newEndpoint(t, in, "platform")
		start(t, in)
		before := stats(t, in)
		d.accept(eventText(payload.DeployLive, "good", 1))
		d.accept(eventText(payload.DeployLive, "bad", 1))
		reaches(t, in, inbox.Stats{Handled: before.Handled + 1, Dead: before.Dead + 1})
		n, err := in.ReplayDead(ctx, inbox.Filter{})
		require.NoError(t, err)
		require.Equal(t, before.Dead+1, n)
		reaches(t, in, inbox.Stats{Handled: before.Handled + 1, Dead: before.Dead + 1})
		in.Prune(ctx, 0)
		r.Ran("LISTEN", "pg_notify", "inbox_job SET claimed_until", "DELETE FROM \"deployhook_inbox\".inbox_job")
		require.NoError(t, in.Close())
	}
	r.RequireNoErrors()
}
