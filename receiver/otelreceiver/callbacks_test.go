package otelreceiver_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
)

// The sender gets its answer, even if a provider or a propagator misbehaves.
// Metrics are counted after the answer, and a span begins before it.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithMeterProvider": func(t *testing.T, f *callbacktest.Fault) {
			require.Equal(t, 200, answers(t, f, otelreceiver.WithMeterProvider(badMeters{fault: f.Happen}))())
			<-f.Entered()
		},
		"WithTracerProvider": func(t *testing.T, f *callbacktest.Fault) {
			post := answers(t, f, otelreceiver.WithTracerProvider(badTracers{fault: f.Happen}))
			require.Equal(t, beforeTheAnswer[f.Kind], callbacktest.Outlives(t, f, post))
		},
		"WithPropagator": func(t *testing.T, f *callbacktest.Fault) {
			post := answers(t, f, otelreceiver.WithPropagator(badPropagator{fault: f.Happen}))
			require.Equal(t, beforeTheAnswer[f.Kind], callbacktest.Outlives(t, f, post))
		},
	})
}

var beforeTheAnswer = map[callbacktest.Kind]int{callbacktest.Panics: 200, callbacktest.Exits: 500, callbacktest.Hangs: 200}

// answers returns a function that posts an event over a connection and returns
// the answer's status.
func answers(t *testing.T, f *callbacktest.Fault, opt otelreceiver.Option) func() int {
	w := newWorld(t, ok, opt)
	server := httptest.NewUnstartedServer(w.h)
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(f.Release) // first, so that nothing blocks the server's shutdown
	e := payload.Event{Type: "own.type", Timestamp: time.Now(), DeploymentID: "dep_1"}
	body, err := e.Encode()
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewReader(body))
	require.NoError(t, err)
	r.Close = true
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, w.scheme.Sign(t.Context(), r, payload.NewDeliveryID(), time.Now(), body))
	return func() int {
		a, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		_ = a.Body.Close() // the answer is not read
		return a.StatusCode
	}
}

type badMeters struct {
	noopmetric.MeterProvider
	fault func()
}

func (p badMeters) Meter(string, ...metric.MeterOption) metric.Meter { return badMeter{fault: p.fault} }

type badMeter struct {
	noopmetric.Meter
	fault func()
}

func (m badMeter) Int64Counter(string, ...metric.Int64CounterOption) (metric.Int64Counter, error) {
	return badCounter{fault: m.fault}, nil
}

type badCounter struct {
	noopmetric.Int64Counter
	fault func()
}

func (c badCounter) Add(context.Context, int64, ...metric.AddOption) { c.fault() }

type badTracers struct {
	nooptrace.TracerProvider
	fault func()
}

func (p badTracers) Tracer(string, ...trace.TracerOption) trace.Tracer {
	return badTracer{fault: p.fault}
}

type badTracer struct {
	nooptrace.Tracer
	fault func()
}

func (b badTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	b.fault()
	return b.Tracer.Start(ctx, name, opts...)
}

type badPropagator struct {
	propagation.TraceContext
	fault func()
}

func (p badPropagator) Extract(ctx context.Context, _ propagation.TextMapCarrier) context.Context {
	p.fault()
	return ctx
}
