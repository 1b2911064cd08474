package console_test

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
)

var (
	manyRows  = flag.Int("console.rows", 200, "deliveries in the inbox, and deployments in the ledger, whose pages TestPages_AreFast opens")
	pageReads = flag.Int("console.reads", 3, "how often TestPages_AreFast opens each page")
)

// Every page opens, however much there is. It logs how long that takes, which
// is of interest with -console.rows=1000000 only.
func TestPages_AreFast(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		id := w.crowd(*manyRows)
		for _, path := range []string{
			"/inbox", "/inbox/deliveries", "/inbox/deliveries?state=dead", "/inbox/deliveries?state=pending", "/inbox/deliveries?state=handled",
			"/inbox/deliveries?state=superseded", "/inbox/deliveries?error=error+7", "/inbox/deliveries?deployment=dep-7",
			fmt.Sprintf("/inbox/deliveries/%d", id), "/inbox/replay?error=error+7", "/inbox/replay", "/recent", "/recent?range=1h",
			"/orgs/acme/deployments", "/orgs/acme/history?service=svc-1&environment=production", "/orgs/acme/deployment?id=run-7", "/orgs/acme/metrics",
		} {
			var took []time.Duration
			for range *pageReads {
				begun := time.Now()
				w.as("ann").Open(path).Says()
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			require.NotEmpty(t, took)
			t.Logf("%8.1f ms half, %8.1f ms most  %s", ms(took[len(took)/2]), ms(took[len(took)-1-len(took)/100]), path)
		}
	})
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// crowd fills inbox and ledger with n rows each. One delivery in ten is dead.
func (w *world) crowd(n int) (id int64) {
	w.t.Helper()
	ctx := context.WithoutCancel(w.t.Context())
	observe := w.recent.Observer("platform")
	for i := range n {
		deployment := fmt.Sprintf("dep-%d", i)
		if i%10 == 0 {
			w.fail(deployment, fmt.Sprintf("error %d", i/10%50))
		}
		body, err := (&payload.Event{
			Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: deployment, App: "shop", Environment: "production",
		}).Encode()
		require.NoError(w.t, err)
		require.Equal(w.t, 202, w.post(body))
		w.deploy("acme", fmt.Sprintf("run-%d", i), payload.StatusSuccess, float64(i%2000)/10, func(d *payload.Deployment) {
			d.Service = fmt.Sprintf("svc-%d", i%20)
		})
		observe(ctx, receiver.Result{Outcome: receiver.Handled})
	}
	w.start()
	require.Eventually(w.t, func() bool {
		b, err := w.inbox.Backlog(ctx)
		return err == nil && b.Pending == 0
	}, 100*patience, 100*time.Millisecond)
	list, err := w.inbox.List(ctx, inbox.Filter{}, inbox.Page{Limit: 1})
	require.NoError(w.t, err)
	return list.Items[0].ID
}
