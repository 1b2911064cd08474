package inbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/inbox"
)

// An inbox that no constructor made returns an error that names the
// constructors.
func TestInbox_NilAndZero(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	for _, in := range []*inbox.Inbox{nil, {}} {
		_, handled := in.Handler(nil, "platform")
		_, got := in.Get(ctx, 1)
		_, listed := in.List(ctx, inbox.Filter{}, inbox.Page{})
		_, counted := in.Stats(ctx)
		_, replayed := in.ReplayDead(ctx, inbox.Filter{})
		_, grouped := in.DeadErrors(ctx)
		_, found := in.CountDead(ctx, inbox.Filter{})
		for call, err := range map[string]error{
			"DeadErrors": grouped, "CountDead": found,
			"Handler": handled, "Get": got, "List": listed, "Stats": counted, "ReplayDead": replayed,
			"Replay": in.Replay(ctx, 1), "Start": in.Start(ctx), "Stop": in.Stop(ctx),
		} {
			require.ErrorIs(t, err, inbox.ErrConfig, call)
			require.ErrorContains(t, err, "OpenSQLite or NewPostgres", call)
		}
		require.NoError(t, in.Close())
		require.Empty(t, in.Faults())
	}
}
