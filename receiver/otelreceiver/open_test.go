package otelreceiver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/signer"
)

// world is a receiver with telemetry that is kept in memory.
type world struct {
	t       testing.TB
	scheme  *signer.Standard
	reader  *sdkmetric.ManualReader
	spans   *tracetest.InMemoryExporter
	tracers *sdktrace.TracerProvider
	h       http.Handler
}

func newWorld(t testing.TB, handler receiver.EventHandler, opts ...otelreceiver.Option) *world {
	t.Helper()
	w := &world{t: t, reader: sdkmetric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	w.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(w.reader))
	t.Cleanup(func() { require.NoError(t, w.tracers.Shutdown(context.Background())) })
	t.Cleanup(func() { require.NoError(t, meters.Shutdown(context.Background())) })
	var err error
	w.scheme, err = signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	opts = append([]otelreceiver.Option{otelreceiver.WithMeterProvider(meters), otelreceiver.WithTracerProvider(w.tracers)}, opts...)
	rcv, err := receiver.New(w.scheme, receiver.WithDedupe(store, "platform"), receiver.WithLogger(slog.New(slog.DiscardHandler)),
		receiver.WithTelemetry(otelreceiver.Open(opts...)))
	require.NoError(t, err)
	w.h = rcv.Events(handler)
	return w
}

// post sends an event and returns the status of the answer.
func (w *world) post(ctx context.Context, typ payload.Type, change ...func(*http.Request)) int {
	w.t.Helper()
	e := payload.Event{Type: typ, Timestamp: time.Now(), DeploymentID: "dep_1", App: "api", Environment: "production", Error: "it broke"}
	body, err := e.Encode()
	require.NoError(w.t, err)
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	require.NoError(w.t, w.scheme.Sign(ctx, r, payload.NewDeliveryID(), time.Now(), body))
	for _, f := range change {
		f(r)
	}
	a := httptest.NewRecorder()
	w.h.ServeHTTP(a, r)
	return a.Code
}

// points returns the values of a metric by their attributes. Those of a
// histogram are its counts.
func (w *world) points(name string) map[string]int64 {
	w.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(w.t, w.reader.Collect(w.t.Context(), &all))
	got := map[string]int64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			if m.Name != name {
				continue
			}
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[text(p.Attributes)] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[text(p.Attributes)] = int64(p.Count)
				}
			case metricdata.Histogram[int64]:
				for _, p := range data.DataPoints {
					got[text(p.Attributes)] = int64(p.Count)
				}
			}
		}
	}
	return got
}

func text(set attribute.Set) string {
	return set.Encoded(attribute.DefaultEncoder())
}

func ok(context.Context, *payload.Event) error { return nil }

func forge(r *http.Request) {
	r.Header.Set("Webhook-Signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
}

func TestOpen_CountsRequests(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(_ context.Context, e *payload.Event) error {
		if e.Type == payload.BuildCompleted {
			return errors.New("no")
		}
		return nil
	}, otelreceiver.WithEventTypes("db.migrated"), otelreceiver.WithAttributes(attribute.String("region", "eu")))
	ctx := t.Context()
	require.Equal(t, 200, w.post(ctx, payload.DeployStarted))
	require.Equal(t, 500, w.post(ctx, payload.BuildCompleted))
	require.Equal(t, 200, w.post(ctx, "db.migrated"))
	require.Equal(t, 200, w.post(ctx, "invented.by.customer"))
	require.Equal(t, 401, w.post(ctx, payload.DeployStarted, forge))
	require.Equal(t, 405, w.post(ctx, payload.DeployStarted, func(r *http.Request) { r.Method = http.MethodGet }))

	const source = ",deployhook.source=platform,region=eu"
	require.Equal(t, map[string]int64{
		"deployhook.event.type=deploy.started,deployhook.outcome=handled" + source: 1,
		"deployhook.event.type=build.completed,deployhook.outcome=failed" + source: 1,
		"deployhook.event.type=db.migrated,deployhook.outcome=handled" + source:    1,
		"deployhook.event.type=other,deployhook.outcome=handled" + source:          1,
		"deployhook.outcome=unauthenticated" + source:                              1,
		"deployhook.outcome=refused" + source:                                      1,
	}, w.points("deployhook.receiver.requests"))
	require.Equal(t, map[string]int64{
		"deployhook.outcome=handled" + source: 3, "deployhook.outcome=failed" + source: 1,
		"deployhook.outcome=unauthenticated" + source: 1, "deployhook.outcome=refused" + source: 1,
	}, w.points("deployhook.receiver.request.duration"))
	require.Equal(t, map[string]int64{"deployhook.outcome=handled" + source: 3, "deployhook.outcome=failed" + source: 1},
		w.points("deployhook.receiver.handler.duration"))
	require.Equal(t, map[string]int64{source[1:]: 4}, w.points("deployhook.receiver.claim.duration"))
	require.Equal(t, map[string]int64{source[1:]: 5}, w.points("deployhook.receiver.request.body.size"))
}

const remote = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func fromRemote(r *http.Request) { r.Header.Set("Traceparent", remote) }

// The span continues the sender's trace, and the handler is inside it.
func TestOpen_ContinuesTheTrace(t *testing.T) {
	t.Parallel()
	var inside trace.SpanContext
	w := newWorld(t, func(ctx context.Context, _ *payload.Event) error {
		inside = trace.SpanContextFromContext(ctx)
		return nil
	})
	require.Equal(t, 200, w.post(t.Context(), payload.DeployStarted, fromRemote))
	spans := w.spans.GetSpans()
	require.Len(t, spans, 1)
	s := spans[0]
	require.Equal(t, "receive platform", s.Name)
	require.Equal(t, trace.SpanKindServer, s.SpanKind)
	require.Equal(t, "0af7651916cd43dd8448eb211c80319c", s.SpanContext.TraceID().String())
	require.Equal(t, "b7ad6b7169203331", s.Parent.SpanID().String())
	require.Equal(t, s.SpanContext.SpanID(), inside.SpanID())
	require.Equal(t, codes.Unset, s.Status.Code)
	set := attribute.NewSet(s.Attributes...)
	require.Regexp(t, `^deployhook.deployment.id=dep_1,deployhook.event.type=deploy.started,deployhook.outcome=handled,deployhook.source=platform,`+
		`http.response.status_code=200,messaging.message.body.size=\d+,messaging.message.id=whk_\w+,messaging.system=deployhook$`, text(set))
}

// A span of middleware is the parent. It is not ended.
func TestOpen_IsInsideMiddleware(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(context.Context, *payload.Event) error { return errors.New("no") })
	ctx, outer := w.tracers.Tracer("middleware").Start(t.Context(), "POST")
	require.Equal(t, 500, w.post(ctx, payload.DeployStarted, fromRemote))
	require.Equal(t, 401, w.post(ctx, payload.DeployStarted, forge))
	spans := w.spans.GetSpans()
	require.Len(t, spans, 1)
	require.Equal(t, outer.SpanContext().SpanID(), spans[0].Parent.SpanID())
	require.Equal(t, trace.SpanKindInternal, spans[0].SpanKind)
	require.Equal(t, codes.Error, spans[0].Status.Code)
	require.Equal(t, "failed", spans[0].Status.Description)
	require.True(t, outer.IsRecording())
	outer.End()
}

// A request that was not verified makes no span, whatever its header says.
func TestOpen_ForgedRequestsMakeNoSpans(t *testing.T) {
	t.Parallel()
	w := newWorld(t, ok)
	require.Equal(t, 401, w.post(t.Context(), payload.DeployStarted, forge, fromRemote))
	require.Empty(t, w.spans.GetSpans())
}

func TestOpen_ReportsMistakes(t *testing.T) {
	t.Parallel()
	var many []payload.Type
	for i := range 101 {
		many = append(many, payload.Type(fmt.Sprint("own.", i)))
	}
	var meters *sdkmetric.MeterProvider
	_, err := otelreceiver.Open(nil, otelreceiver.WithMeterProvider(meters), otelreceiver.WithTracerProvider(nil), otelreceiver.WithPropagator(nil),
		otelreceiver.WithEventTypes(), otelreceiver.WithEventTypes(""), otelreceiver.WithEventTypes(many...))("platform")
	for _, part := range []string{
		"otelreceiver: ", "a nil Option", "WithMeterProvider: the provider is nil", "WithTracerProvider: the provider is nil",
		"WithPropagator: the propagator is nil", "WithEventTypes: names no type", "WithEventTypes: a type is empty", "101 types are declared; at most 100",
	} {
		require.ErrorContains(t, err, part)
	}
	require.Equal(t, 7, len(strings.Split(err.Error(), "\n")))
}
