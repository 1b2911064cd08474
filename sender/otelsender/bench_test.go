package otelsender_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
)

// BenchmarkTelemetry measures what a delivery with one attempt costs whose
// trace is not sampled.
func BenchmarkTelemetry(b *testing.B) {
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	tracers := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(0))))
	t, err := otelsender.Open(otelsender.WithMeterProvider(meters), otelsender.WithTracerProvider(tracers))()
	require.NoError(b, err)
	start := sender.AttemptStart{ID: "whk_1", Type: payload.DeployLive, Endpoint: "https://example.com", Number: 1, Size: 700}
	end := sender.Attempt{Number: 1, Type: payload.DeployLive, Outcome: sender.Delivered, Status: 200}
	end.Timings.Total, end.Timings.FirstByte = time.Millisecond, time.Millisecond
	receipt := &sender.Receipt{Outcome: sender.Delivered, Attempts: []sender.Attempt{end}}
	require.NoError(b, reader.Collect(b.Context(), &metricdata.ResourceMetrics{})) // as happens to a service soon after its start
	header := make(http.Header, 8)
	b.ReportAllocs()
	for b.Loop() {
		ctx := t.StartAttempt(b.Context(), start, header)
		t.EndAttempt(ctx, end)
		t.EndDelivery(b.Context(), payload.DeployLive, receipt)
	}
}
