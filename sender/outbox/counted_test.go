package outbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

// A delivery is replayed during its last attempt, which then fails. The
// delivery waits for its next attempt, so the hook is told of no dead letter,
// and the endpoint has not used up a delivery's attempts.
func TestHook_NotToldOfFailureThatDidNotCount(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		var told notices
		o := w.start(t, outbox.WithHook(told.add))
		inFlight, answer := make(chan struct{}), make(chan struct{})
		h := newHook(t, func(n int, _ received) int {
			if n > 1 {
				return 200
			}
			close(inFlight)
			<-answer
			return 500
		})
		c := endpointAt(h.URL)
		c.Schedule = outbox.ScheduleOnce
		create(t, o.App("shop"), c)
		id := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1")).Deliveries[0].ID
		<-inFlight
		require.NoError(t, o.App("shop").Replay(t.Context(), id))
		close(answer)
		settled(t, o, id, outbox.Delivered)
		eventually(t, func() bool { return len(told.of(outbox.NoticeAttempt)) >= 2 && len(told.of(outbox.NoticeDone)) > 0 }, "the hook is not told")
		require.NoError(t, o.Stop(t.Context()))
		require.Empty(t, told.of(outbox.NoticeFailing))
		for _, n := range append(told.of(outbox.NoticeAttempt), told.of(outbox.NoticeDone)...) {
			require.NotEqual(t, outbox.Failed, n.State, "no dead letter")
		}
	})
}
