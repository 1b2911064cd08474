package otelreceiver_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
)

// Each collection has all requests that ended before it, no matter how many are
// measured together.
func TestOpen_CollectionsAreComplete(t *testing.T) {
	t.Parallel()
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	t.Cleanup(func() { require.NoError(t, tracers.Shutdown(context.Background())) })
	w := newWorld(t, ok, otelreceiver.WithTracerProvider(tracers))
	n := int64(0)
	for _, more := range []int64{1, 31, 33, 64, 100, 1} {
		for range more {
			require.Equal(t, 200, w.post(t.Context(), payload.DeployLive))
			require.Equal(t, 401, w.post(t.Context(), payload.DeployLive, forge))
		}
		n += more
		const source = "deployhook.source=platform"
		handled, refused := "deployhook.outcome=handled,"+source, "deployhook.outcome=unauthenticated,"+source
		require.Equal(t, map[string]int64{"deployhook.event.type=deploy.live," + handled: n, refused: n}, w.points("deployhook.receiver.requests"))
		require.Equal(t, map[string]int64{handled: n, refused: n}, w.points("deployhook.receiver.request.duration"))
		require.Equal(t, map[string]int64{source: 2 * n}, w.points("deployhook.receiver.request.body.size"))
		require.Equal(t, map[string]int64{source: n}, w.points("deployhook.receiver.claim.duration"))
		require.Equal(t, map[string]int64{handled: n}, w.points("deployhook.receiver.handler.duration"))
		require.Equal(t, map[string]int64{source: 0}, w.points("deployhook.receiver.requests.in_flight"))
	}
}

func TestOpen_CountsRequestsInFlight(t *testing.T) {
	t.Parallel()
	entered, release, answered := make(chan struct{}), make(chan struct{}), make(chan int)
	w := newWorld(t, func(context.Context, *payload.Event) error {
		entered <- struct{}{}
		<-release
		return nil
	})
	const metric, source = "deployhook.receiver.requests.in_flight", "deployhook.source=platform"
	for range 2 {
		go func() { answered <- w.post(t.Context(), payload.DeployLive) }()
		<-entered
	}
	require.Equal(t, 401, w.post(t.Context(), payload.DeployLive, forge))
	require.Equal(t, map[string]int64{source: 2}, w.points(metric))
	close(release)
	for range 2 {
		require.Equal(t, 200, <-answered)
	}
	require.Equal(t, map[string]int64{source: 0}, w.points(metric))
}
