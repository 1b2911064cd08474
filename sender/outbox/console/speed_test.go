package console_test

import (
	"flag"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	manyDeliveries = flag.Int("console.deliveries", 500, "deliveries in the log whose pages TestPages_AreFast opens")
	pageReads      = flag.Int("console.reads", 3, "how often TestPages_AreFast opens each page")
)

// Every page opens, however long the log is. It logs how long that takes, which
// is of interest with -console.deliveries=1000000 only.
func TestPages_AreFast(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		const endpoints = 10
		g := newTarget(t, 200)
		var one string
		for i := range endpoints {
			e, _ := w.endpointAt("shop", g.URL+"/"+strconv.Itoa(i))
			one = e.ID
		}
		var id string
		for i := range *manyDeliveries / endpoints {
			id = w.publish("shop", "dep_"+strconv.Itoa(i))
		}
		for _, path := range []string{
			"/apps/shop", "/apps/shop/endpoints/" + one, "/apps/shop/deliveries", "/apps/shop/deliveries?state=failed", "/apps/shop/deliveries?state=pending",
			"/apps/shop/deliveries?type=deploy.live", "/apps/shop/deliveries?type=deploy.failed", "/apps/shop/deliveries?endpoint=" + one,
			"/apps/shop/deliveries?class=5xx", "/apps/shop/deliveries?range=1h", "/apps/shop/deliveries?until=2026-01-01T00:00",
			"/apps/shop/deliveries?deployment=dep_7", "/apps/shop/deliveries?state=failed&class=none&range=24h&endpoint=" + one,
			"/apps/shop/deliveries/" + id, "/apps/shop/deployment?id=dep_7", "/apps/shop/replays", "/overview", "/apps", "/deliveries", "/deliveries?state=failed",
		} {
			var took []time.Duration
			for range *pageReads {
				begun := time.Now()
				w.as("operator").Open(path).Says()
				took = append(took, time.Since(begun))
			}
			slices.Sort(took)
			require.NotEmpty(t, took)
			t.Logf("%8.1f ms half, %8.1f ms most  %s", ms(took[len(took)/2]), ms(took[len(took)-1-len(took)/100]), path)
		}
	})
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }
