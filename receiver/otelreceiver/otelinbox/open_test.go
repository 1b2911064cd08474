package otelinbox_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
	"github.com/deployhook/deployhook/signer"
)

const patience = 10 * time.Minute // only a hang takes longer

// world is an inbox with telemetry that is kept in memory.
type world struct {
	t      *testing.T
	scheme *signer.Standard
	reader *sdkmetric.ManualReader
	spans  *tracetest.InMemoryExporter
	in     *inbox.Inbox
	h      http.Handler
}

func newWorld(t *testing.T, handler receiver.EventHandler, opts ...inbox.Option) *world {
	t.Helper()
	w := &world{t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	t.Cleanup(func() { require.NoError(t, tracers.Shutdown(context.Background())) })
	t.Cleanup(func() { require.NoError(t, meters.Shutdown(context.Background())) })
	var err error
	w.scheme, err = signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	opts = append([]inbox.Option{
		inbox.WithLogger(slog.New(slog.DiscardHandler)), inbox.WithStoreTimeout(patience),
		inbox.WithRetrySchedule(func() backoff.BackOff { return backoff.NewConstantBackOff(time.Millisecond) }),
		inbox.WithTelemetry(otelinbox.Open(otelreceiver.WithMeterProvider(meters), otelreceiver.WithTracerProvider(tracers))),
	}, opts...)
	w.in, err = inbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "inbox.db"), handler, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, w.in.Close()) })
	w.h, err = w.in.Handler(w.scheme, "platform")
	require.NoError(t, err)
	return w
}

const remote = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func (w *world) accept(typ payload.Type) {
	w.t.Helper()
	e := payload.Event{Type: typ, Timestamp: time.Now(), DeploymentID: "dep_1", App: "api", Environment: "production", Error: "it broke"}
	body, err := e.Encode()
	require.NoError(w.t, err)
	r := httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Traceparent", remote)
	require.NoError(w.t, w.scheme.Sign(w.t.Context(), r, payload.NewDeliveryID(), time.Now(), body))
	a := httptest.NewRecorder()
	w.h.ServeHTTP(a, r)
	require.Equal(w.t, 202, a.Code)
}

// read returns the values of all metrics by name and attributes. Those of a
// histogram are its counts.
func (w *world) read() map[string]float64 {
	w.t.Helper()
	var all metricdata.ResourceMetrics
	_ = w.reader.Collect(w.t.Context(), &all) // its error is also a gauge
	got := map[string]float64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			note := func(set attribute.Set, v float64) { got[m.Name+"{"+set.Encoded(attribute.DefaultEncoder())+"}"] = v }
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					note(p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[int64]:
				for _, p := range data.DataPoints {
					note(p.Attributes, float64(p.Value))
				}
			case metricdata.Gauge[float64]:
				for _, p := range data.DataPoints {
					note(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					note(p.Attributes, float64(p.Count))
				}
			}
		}
	}
	return got
}

// The handler's spans continue the trace of the request, in each attempt.
func TestOpen_ContinuesTheTrace(t *testing.T) {
	t.Parallel()
	inside := make(chan trace.SpanContext, 2)
	w := newWorld(t, func(ctx context.Context, _ *payload.Event) error {
		inside <- trace.SpanContextFromContext(ctx)
		if a, _ := inbox.FromContext(ctx); a.Number == 1 {
			return errors.New("not yet")
		}
		return nil
	})
	w.accept(payload.DeployStarted)
	require.NoError(t, w.in.Start(context.WithoutCancel(t.Context())))
	w.reaches(inbox.Stats{Handled: 1})
	require.NoError(t, w.in.Close())

	spans := w.spans.GetSpans()
	require.Len(t, spans, 3)
	received := spans[0]
	require.Equal(t, "receive platform", received.Name)
	for i, s := range spans[1:] {
		require.Equal(t, "process platform", s.Name)
		require.Equal(t, trace.SpanKindConsumer, s.SpanKind)
		require.Equal(t, "0af7651916cd43dd8448eb211c80319c", s.SpanContext.TraceID().String())
		require.Equal(t, received.SpanContext.SpanID(), s.Parent.SpanID())
		require.Equal(t, s.SpanContext.SpanID(), (<-inside).SpanID())
		require.Equal(t, []codes.Code{codes.Error, codes.Unset}[i], s.Status.Code)
	}
}

func (w *world) reaches(want inbox.Stats) {
	w.t.Helper()
	require.Eventually(w.t, func() bool {
		got, err := w.in.Stats(w.t.Context())
		got.OldestPending = time.Time{}
		return err == nil && got == want
	}, patience, 10*time.Millisecond)
}

func TestOpen_Metrics(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ context.Context, e *payload.Event) error {
		if e.Type == payload.DeployStarted {
			return nil
		}
		return errors.New("no")
	}, inbox.WithMaxAttempts(2), inbox.WithMaxBacklog(50))
	w.accept(payload.DeployStarted)
	w.accept("invented.by.customer")
	got := w.read()
	require.EqualValues(t, 2, got["deployhook.inbox.pending{}"])
	require.EqualValues(t, 50, got["deployhook.inbox.limit{}"])
	require.EqualValues(t, 1, got["deployhook.inbox.up{}"])
	require.Positive(t, got["deployhook.inbox.oldest_pending.age{}"])
	require.EqualValues(t, 1, got["deployhook.receiver.requests{deployhook.event.type=other,deployhook.outcome=accepted,deployhook.source=platform}"])

	require.NoError(t, w.in.Start(context.WithoutCancel(t.Context())))
	w.reaches(inbox.Stats{Handled: 1, Dead: 1})
	require.NoError(t, w.in.Stop(t.Context())) // after the last attempt was counted
	got = w.read()
	require.Zero(t, got["deployhook.inbox.pending{}"])
	require.Zero(t, got["deployhook.inbox.oldest_pending.age{}"])
	require.EqualValues(t, 1, got["deployhook.inbox.dead{}"])
	for state, n := range map[string]int{
		"event.type=deploy.started,deployhook.source=platform,deployhook.state=handled": 1,
		"event.type=other,deployhook.source=platform,deployhook.state=pending":          1, "event.type=other,deployhook.source=platform,deployhook.state=dead": 1,
	} {
		require.EqualValues(t, n, got["deployhook.inbox.attempts{deployhook."+state+"}"], "%s of %v", state, got)
	}
	const process = ",messaging.operation.name=process,messaging.system=deployhook}"
	require.EqualValues(t, 1, got["messaging.process.duration{messaging.destination.name=platform"+process])
	require.EqualValues(t, 2, got["messaging.process.duration{error.type=_OTHER,messaging.destination.name=platform"+process])

	require.NoError(t, w.in.Close())
	require.NotContains(t, w.read(), "deployhook.inbox.up{}", "nothing is read after Close")
}

func TestOpen_ReportsMistakes(t *testing.T) {
	t.Parallel()
	_, err := inbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "inbox.db"), func(context.Context, *payload.Event) error { return nil },
		inbox.WithTelemetry(otelinbox.Open(otelreceiver.WithMeterProvider(nil))))
	require.ErrorIs(t, err, inbox.ErrConfig)
	require.ErrorContains(t, err, "WithTelemetry: otelinbox: WithMeterProvider: the provider is nil")
}
