package inbox_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/sqldb/sqldbtest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// Through PgBouncer in transaction mode the constructor names every missing
// option. With them, two processes handle 500 deliveries once each.
func TestPgBouncer(t *testing.T) {
	t.Parallel()
	pooled, _ := sqldbtest.NewPooler(t)
	for url, want := range map[string][]string{
		pooled:                               {"default_query_exec_mode=exec", "WithPreparedStatements", "WithPolling"},
		sqldbtest.ExecMode(t, pooled):        {"WithPolling"},
		pooled + "&application_name=polling": {"default_query_exec_mode=exec"},
	} {
		var opts []inbox.Option
		if strings.Contains(url, "polling") {
			opts = append(opts, inbox.WithPolling())
		}
		_, err := inbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, url), (&calls{}).handle, opts...)
		require.ErrorIs(t, err, inbox.ErrConfig)
		for _, text := range want {
			require.ErrorContains(t, err, text)
		}
		require.Equal(t, len(opts) > 0, !strings.Contains(err.Error(), "WithPolling"))
	}

	var handled calls
	open := func(pool string) *inbox.Inbox {
		in, err := inbox.NewPostgres(t.Context(), sqldbtest.OpenPool(t, pool), handled.handle, append(testOptions(), inbox.WithPolling())...)
		require.NoError(t, err)
		t.Cleanup(func() { assert.NoError(t, in.Close()) })
		return in
	}
	one, two := open(sqldbtest.ExecMode(t, pooled)), open(sqldbtest.ExecMode(t, pooled))
	start(t, one)
	start(t, two)
	d, other := newEndpoint(t, one, "platform"), newEndpoint(t, two, "platform")
	const deliveries = 500
	var senders sync.WaitGroup
	for sender := range 10 {
		senders.Go(func() {
			for i := range deliveries / 10 {
				body := eventText(payload.DeployLive, fmt.Sprint(sender*deliveries/10+i), 1)
				w := []*endpoint{d, other}[i%2].post(payload.NewDeliveryID(), body)
				assert.Equal(t, 202, w.Code, w.Body.String())
			}
		})
	}
	senders.Wait()
	reaches(t, one, inbox.Stats{Handled: deliveries})
	seen := make(map[string]int)
	for _, event := range handled.list() {
		seen[event]++
	}
	require.Len(t, seen, deliveries, "0 lost")
	require.Len(t, handled.list(), deliveries, "0 doubled")
	require.NoError(t, one.Stop(context.WithoutCancel(t.Context())))
}
