package inbox_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// A slow worker that was assumed dead must not finish a delivery that was
// replayed since.
func TestReplay_SurvivesSlowWorkerOfEarlierRound(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		began, release := make(chan struct{}), make(chan struct{})
		slow := open(func(context.Context, *payload.Event) error { close(began); <-release; return nil })
		var handled atomic.Int32
		other := open(func(context.Context, *payload.Event) error { handled.Add(1); return nil })
		newEndpoint(t, other, "platform").accept(started(1))
		id := only(t, other).ID
		late := make(chan struct{})
		go func() { defer close(late); _ = slow.WorkRound(t.Context(), id, 0, 1) }()
		<-began
		_ = other.WorkRound(t.Context(), id, 0, 1) // it assumed that the slow worker was dead
		require.EqualValues(t, 1, handled.Load())
		require.NoError(t, other.Replay(t.Context(), id))
		close(release)
		<-late
		d, err := other.Get(t.Context(), id)
		require.NoError(t, err)
		assert.Equal(t, inbox.Pending, d.State)
		_ = other.WorkRound(t.Context(), id, 0, 2)
		assert.EqualValues(t, 2, handled.Load(), "the replay was lost")
	})
}

// Its failure is no result of the delivery either. The observer is told of
// results only, and the replay keeps all its attempts.
func TestReplay_SlowWorkersFailureIsNoResult(t *testing.T) {
	t.Parallel()
	for name, failure := range map[string]error{"again": errors.New("too late"), "dead letter": inbox.Permanent(errors.New("too late"))} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, open opener) {
				began, release := make(chan struct{}), make(chan struct{})
				var results atomic.Int32
				slow := open(func(context.Context, *payload.Event) error { close(began); <-release; return failure },
					inbox.WithObserver(func(context.Context, inbox.Result) { results.Add(1) }))
				other := open(func(context.Context, *payload.Event) error { return nil })
				newEndpoint(t, other, "platform").accept(started(1))
				id := only(t, other).ID
				late := make(chan jobdb.Next, 1)
				go func() { late <- slow.WorkRound(t.Context(), id, 0, 1) }()
				<-began
				_ = other.WorkRound(t.Context(), id, 0, 1) // it assumed that the slow worker was dead
				require.NoError(t, other.Replay(t.Context(), id))
				close(release)
				require.Equal(t, jobdb.Done(), <-late, "the job of the earlier round is done")
				require.Zero(t, results.Load())
				d, err := other.Get(t.Context(), id)
				require.NoError(t, err)
				require.Equal(t, inbox.Pending, d.State)
				require.Empty(t, d.LastError)
			})
		})
	}
}
