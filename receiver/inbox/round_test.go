package inbox_test

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// A worker that was taken for dead and comes back late must not finish the delivery in place of the replay that has been asked
// for since.
func TestALateWorkerDoesNotSwallowAReplay(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		began, release := make(chan struct{}), make(chan struct{})
		slow := open(func(context.Context, *payload.Event) error { close(began); <-release; return nil })
		var handled atomic.Int32
		other := open(func(context.Context, *payload.Event) error { handled.Add(1); return nil })
		newDoor(t, other, "platform").accept(started(1))
		id := only(t, other).ID
		late := make(chan struct{})
		go func() { defer close(late); _ = slow.WorkRound(t.Context(), id, 1, 1) }()
		<-began
		_ = other.WorkRound(t.Context(), id, 1, 1) // which took the slow one for dead
		require.EqualValues(t, 1, handled.Load())
		require.NoError(t, other.Replay(t.Context(), id))
		close(release)
		<-late
		d, err := other.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, inbox.Pending, d.State)
		_ = other.WorkRound(t.Context(), id, 1, 2)
		assert.EqualValues(t, 2, handled.Load(), "the replay was swallowed")
	})
}
