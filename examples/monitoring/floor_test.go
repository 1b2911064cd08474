package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// BenchmarkFloor measures what single calls of the SDK cost in a loop, where
// everything is in the processor's caches. Telemetry can't cost less than the
// calls that it makes.
func BenchmarkFloor(b *testing.B) {
	p := newProviders(b, 0)
	tracer, meter := p.tracers.Tracer("floor"), p.meters.Meter("floor")
	counter, err := meter.Int64Counter("count")
	require.NoError(b, err)
	histogram, err := meter.Float64Histogram("duration", metric.WithUnit("s"))
	require.NoError(b, err)
	one, two := attribute.String("deployhook.outcome", "delivered"), attribute.String("deployhook.event.type", "deploy.live")
	count := []metric.AddOption{metric.WithAttributeSet(attribute.NewSet(one, two))}
	record := []metric.RecordOption{metric.WithAttributeSet(attribute.NewSet(one))}
	client := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
	ctx, _ := tracer.Start(b.Context(), "attempt")
	header := http.Header{}
	for _, c := range []struct {
		name string
		call func()
	}{
		{"span", func() {
			_, span := tracer.Start(b.Context(), "attempt", client...)
			span.End()
		}},
		{"inject", func() { propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header)) }},
		{"counter", func() { counter.Add(ctx, 1, count...) }},
		{"histogram", func() { histogram.Record(ctx, 0.001, record...) }},
	} {
		b.Run("call="+c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.call()
			}
		})
	}
}
