package inbox_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/jobdb"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// requireWaits requires that a job runs again later, which is no failure.
func requireWaits(t testing.TB, next jobdb.Next) {
	t.Helper()
	wait, ok := next.Waits()
	require.True(t, ok, "%+v", next)
	require.Positive(t, wait)
}

// A job whose process has died is due as soon as its lease has ended. Another
// process then handles the delivery, and the lost attempt does not count.
func TestWorker_OtherProcessTakesOver(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]inbox.Option{"unordered": nil, "ordered": {inbox.WithOrdering()}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEach(t, func(t *testing.T, open opener) {
				entered, release := make(chan struct{}), make(chan struct{})
				lost := open(func(context.Context, *payload.Event) error { close(entered); <-release; return nil },
					append(opts, inbox.WithHandlerTimeout(time.Hour), inbox.WithWorkers(1))...)
				finish := sync.OnceFunc(func() { close(release) })
				t.Cleanup(finish)
				newEndpoint(t, lost, "platform").accept(started(1))
				start(t, lost)
				<-entered

				var seen calls
				other := open(seen.handle, opts...)
				start(t, other)
				lost.Abandon(t.Context())
				reaches(t, other, inbox.Stats{Handled: 1})
				assert.Len(t, seen.list(), 1)
				assert.Equal(t, 1, only(t, other).Attempts)
				require.Eventually(t, func() bool { return other.Jobs(t.Context()) == 0 }, patience, often)
				finish()
				require.NoError(t, lost.Stop(t.Context()))
				assert.Equal(t, 1, only(t, other).Attempts, "the late result of the first process changes nothing")
			})
		})
	}
}

// The queue counts the processes that have died with a delivery.
func TestWorker_TooManyLostProcesses(t *testing.T) {
	t.Parallel()
	for lost, want := range map[int]inbox.Stats{24: {Handled: 1}, 25: {Dead: 1}} {
		onEach(t, func(t *testing.T, open opener) {
			var seen calls
			in := open(seen.handle)
			newEndpoint(t, in, "platform").accept(started(1))
			in.LoseClaims(t.Context(), lost)
			start(t, in)
			reaches(t, in, want)
			assert.Len(t, seen.list(), want.Handled)
			require.Eventually(t, func() bool { return in.Jobs(t.Context()) == 0 }, patience, often)
		})
	}
}

// A job without a delivery is deleted, and the log says so.
func TestWorker_JobWithInvalidReference(t *testing.T) {
	t.Parallel()
	refs := []string{"", ".", "1", "1.", ".1", "x.1", "1.x", "1.2.3", "1.1 "}
	onEach(t, func(t *testing.T, open opener) {
		var mu sync.Mutex
		var log bytes.Buffer
		in := open((&calls{}).handle, inbox.WithLogger(slog.New(slog.NewTextHandler(&lockedWriter{&mu, &log}, nil))))
		for _, ref := range refs {
			in.InsertJob(t.Context(), ref)
		}
		start(t, in)
		require.Eventually(t, func() bool { return in.Jobs(t.Context()) == 0 }, patience, often)
		mu.Lock()
		defer mu.Unlock()
		assert.Equal(t, len(refs), bytes.Count(log.Bytes(), []byte("refers to no delivery")), log.String())
	})
}

type lockedWriter struct {
	mu *sync.Mutex
	to *bytes.Buffer
}

func (w *lockedWriter) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.to.Write(p)
}

// The end of Start's context has the same effect as Stop. A handler gets the
// stop timeout, and its delivery then returns to the queue.
func TestStart_EndOfContextStops(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, open opener) {
		entered := make(chan struct{})
		in := open(func(ctx context.Context, _ *payload.Event) error {
			close(entered)
			<-ctx.Done()
			return ctx.Err()
		}, inbox.WithStopTimeout(50*time.Millisecond), inbox.WithHandlerTimeout(time.Hour), inbox.WithMaxAttempts(1))
		newEndpoint(t, in, "platform").accept(started(1))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		require.NoError(t, in.Start(ctx))
		<-entered
		var seen calls
		other := open(seen.handle)
		start(t, other)
		cancel()
		reaches(t, other, inbox.Stats{Handled: 1})
		assert.Len(t, seen.list(), 1)
		assert.Equal(t, 1, only(t, other).Attempts, "the attempt that was cut off does not count")
	})
}

// A worker's time ends before its lease, whatever the options say.
func TestOptions_LeaseOutlastsTimeout(t *testing.T) {
	t.Parallel()
	for _, opts := range [][]inbox.Option{
		nil,
		{inbox.WithHandlerTimeout(time.Nanosecond), inbox.WithRescueAfter(time.Second)},
		{inbox.WithHandlerTimeout(24 * time.Hour), inbox.WithRescueAfter(math.MaxInt64), inbox.WithOrdering()},
	} {
		timeout, lease := inbox.JobTimes(opts...)
		assert.Greater(t, lease, timeout)
	}
	timeout, lease := inbox.JobTimes()
	assert.Equal(t, inbox.DefaultHandlerTimeout+inbox.DefaultRescueAfter/2, timeout)
	assert.Equal(t, inbox.DefaultHandlerTimeout+inbox.DefaultRescueAfter, lease)
	timeout, lease = inbox.JobTimes(inbox.WithOrdering())
	assert.Equal(t, 2*inbox.DefaultHandlerTimeout+inbox.DefaultRescueAfter/2, timeout)
	assert.Equal(t, 2*inbox.DefaultHandlerTimeout+inbox.DefaultRescueAfter, lease)
}
