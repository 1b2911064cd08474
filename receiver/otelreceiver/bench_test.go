package otelreceiver_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
)

// BenchmarkTelemetry measures what a request costs whose trace is not sampled.
func BenchmarkTelemetry(b *testing.B) {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0))))
	t, err := otelreceiver.Open(otelreceiver.WithMeterProvider(meters), otelreceiver.WithTracerProvider(tracers))("bench")
	require.NoError(b, err)
	r := httptest.NewRequestWithContext(b.Context(), http.MethodPost, "/", http.NoBody)
	d := &receiver.Delivery{ID: "whk_1", Event: &payload.Event{Type: payload.DeployLive}}
	res := receiver.Result{
		Outcome: receiver.Handled, Status: 200, Duration: time.Millisecond, Delivery: d, BodySize: 700,
		ClaimDuration: time.Microsecond, HandlerDuration: time.Microsecond,
	}
	require.NoError(b, reader.Collect(b.Context(), &metricdata.ResourceMetrics{})) // as happens to a service soon after its start
	b.ReportAllocs()
	for b.Loop() {
		t.End(t.Start(r, d, time.Time{}), res)
	}
}
