package outbox_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProofBacklog lets an endpoint recover for which 20,000 deliveries wait.
// Waking them up must not delay the deliveries of another app, which share the
// database and the goroutine that records results.
func TestProofBacklog(t *testing.T) {
	waiting := fewer(1000)
	if *strict {
		waiting = 20_000
	}
	proveOnEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		h := newTally(t, func() int { return 200 })
		good := newWatched(t)
		create(t, o.App("good"), endpointAt(good.URL))
		alone := testNewOnes(t, o, good)
		e, _ := create(t, o.App("shop"), endpointAt(h.URL))
		w.exec(t, fmt.Sprintf(`UPDATE {t} SET breaker_open_until = %d WHERE id = '%s'`, time.Now().Add(7*time.Minute).UnixMicro(), e.ID))
		publishMany(t, w, o, waiting, benchEvent())
		require.Zero(t, h.n.Load())
		require.NoError(t, o.App("shop").Enable(t.Context(), e.ID))
		eventually(t, func() bool { return h.n.Load() > 0 }, "the endpoint does not recover")
		beside, meanwhile := testNewOnes(t, o, good), h.n.Load()
		t.Logf("new ones, one after the other, while %d of %d waited: %v; alone %v", waiting-int(meanwhile), waiting, beside, alone)
		assertUndelayed(t, alone, beside)
		eventually(t, func() bool { return h.n.Load() == int64(waiting) }, "some are not woken up")
	})
}
