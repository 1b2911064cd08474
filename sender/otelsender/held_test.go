package otelsender_test

import (
	"context"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/internal/teltest"
)

// unsampled samples only what a sampled span calls.
func unsampled(t *testing.T) otelsender.Option {
	t.Helper()
	p := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.NeverSample())))
	t.Cleanup(func() { require.NoError(t, p.Shutdown(context.Background())) })
	return otelsender.WithTracerProvider(p)
}

func open(t *testing.T, opts ...otelsender.Option) sender.Telemetry {
	t.Helper()
	tel, err := otelsender.Open(opts...)()
	require.NoError(t, err)
	return tel
}

// deliver makes two attempts, of which the first fails.
func deliver(ctx context.Context, tel sender.Telemetry) {
	r := &sender.Receipt{Outcome: sender.Delivered}
	for _, a := range []sender.Attempt{
		{Number: 1, Outcome: sender.Failed, Class: sender.ClassStatus},
		{Number: 2, Outcome: sender.Delivered},
	} {
		a.Type = payload.DeployLive
		a.Timings = sender.Timings{FirstByte: time.Millisecond, Total: time.Millisecond}
		started := tel.StartAttempt(ctx, sender.AttemptStart{Number: a.Number, Type: a.Type}, http.Header{})
		tel.EndAttempt(started, a)
		r.Attempts = append(r.Attempts, a)
	}
	tel.EndDelivery(ctx, payload.DeployLive, r)
}

// requireDelivered fails unless n calls of deliver were measured.
func requireDelivered(t *testing.T, n int, got map[string]float64) {
	t.Helper()
	const typ = "deployhook.event.type=deploy.live,"
	for name, want := range map[string]int{
		"attempts{" + typ + "deployhook.outcome=failed,error.type=status}": n,
		"attempts{" + typ + "deployhook.outcome=delivered}":                n,
		"retries{deployhook.outcome=delivered}":                            n,
		"deliveries{" + typ + "deployhook.outcome=delivered}":              n,
		"attempt.duration{deployhook.outcome=failed}":                      n,
		"attempt.duration{deployhook.outcome=delivered}":                   n,
		"attempt.phase.duration{deployhook.phase=first_byte}":              2 * n,
		"attempts.in_flight{}":                                             0,
	} {
		require.Contains(t, got, "deployhook.sender."+name)
		require.InDelta(t, want, got["deployhook.sender."+name], 0, name)
	}
	require.NotContains(t, got, "deployhook.sender.retries{deployhook.outcome=failed}")
}

// Each collection has all attempts that ended before it, no matter how many are
// measured together.
func TestOpen_CollectionsAreComplete(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	tel := open(t, m.Options(unsampled(t))...)
	n := 0
	for _, more := range []int{1, 1, 31, 32, 33, 100, 1} {
		for range more {
			deliver(t.Context(), tel)
		}
		n += more
		requireDelivered(t, n, m.Read())
	}
}

func TestOpen_CountsFromManyGoroutines(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	tel := open(t, m.Options(unsampled(t))...)
	var senders sync.WaitGroup
	for range 8 {
		senders.Go(func() {
			for range 100 {
				deliver(t.Context(), tel)
			}
		})
	}
	for range 20 {
		m.Read()
	}
	senders.Wait()
	requireDelivered(t, 800, m.Read())
}

// A provider that does not call back gets each measurement at once.
func TestOpen_MeasuresWithoutCallbacks(t *testing.T) {
	t.Parallel()
	m := teltest.New(t, sdkmetric.NewView(
		sdkmetric.Instrument{Name: "*.in_flight"}, sdkmetric.Stream{Aggregation: sdkmetric.AggregationDrop{}}))
	tel := open(t, m.Options(unsampled(t))...)
	for n := range 3 {
		deliver(t.Context(), tel)
		got := m.Read()
		require.NotContains(t, got, "deployhook.sender.attempts.in_flight{}")
		got["deployhook.sender.attempts.in_flight{}"] = 0
		requireDelivered(t, n+1, got)
	}
}

// What a sender has not measured yet is not lost with it.
func TestOpen_MeasuresWhatAForgottenSenderHeld(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	use := func() {
		tel := open(t, m.Options(unsampled(t))...)
		m.Read()
		deliver(t.Context(), tel)
		runtime.KeepAlive(tel)
	}
	use()
	const inFlight = "deployhook.sender.attempts.in_flight{}"
	var got map[string]float64
	require.Eventually(t, func() bool {
		runtime.GC()
		got = m.Read()
		_, found := got[inFlight]
		return !found
	}, time.Minute, time.Millisecond)
	got[inFlight] = 0
	requireDelivered(t, 1, got)
}

// An exemplar names the trace of a sampled attempt.
func TestOpen_SampledAttemptsBecomeExemplars(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	tel := open(t, m.Options(unsampled(t))...)
	m.Read()
	for range 3 {
		deliver(t.Context(), tel)
	}
	ctx, span := m.Tracers.Tracer("caller").Start(t.Context(), "deploy")
	deliver(ctx, tel)
	span.End()
	want := trace.SpanContextFromContext(ctx).TraceID()
	all := m.Exemplars()
	require.Len(t, all, 5)
	for name, exemplars := range all {
		require.NotEmpty(t, exemplars, name)
		for _, e := range exemplars {
			require.Equal(t, want[:], e.TraceID, name)
		}
	}
	requireDelivered(t, 4, m.Read())
}
