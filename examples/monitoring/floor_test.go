package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/signer"
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

// BenchmarkBareSend is the floor of BenchmarkSend. A bare client sends the same
// request. With telemetry it makes the calls that the SDK's guide shows: a span
// with its header for each request, a counter and a histogram.
func BenchmarkBareSend(b *testing.B) {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(b, err)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(server.Close)
	body := make([]byte, 700)
	for _, c := range sampling {
		b.Run(c.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: time.Minute}
			b.Cleanup(client.CloseIdleConnections)
			follow := func(ctx context.Context, _ http.Header) (context.Context, func()) { return ctx, func() {} }
			if p := newProviders(b, c.ratio); p != nil {
				p.scrape(b)
				follow = followByHand(b, p)
			}
			b.ReportAllocs()
			for b.Loop() {
				r, err := http.NewRequest(http.MethodPost, server.URL, bytes.NewReader(body))
				require.NoError(b, err)
				ctx, end := follow(b.Context(), r.Header)
				r = r.WithContext(ctx)
				r.Header["Content-Type"] = []string{"application/json"}
				require.NoError(b, scheme.Sign(ctx, r, "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", time.Now(), body))
				a, err := client.Do(r)
				require.NoError(b, err)
				_, _ = io.Copy(io.Discard, a.Body)
				require.NoError(b, a.Body.Close())
				end()
			}
		})
	}
}

// followByHand returns what begins to follow a request, and then ends.
func followByHand(b *testing.B, p *providers) func(context.Context, http.Header) (context.Context, func()) {
	tracer, meter := p.tracers.Tracer("floor"), p.meters.Meter("floor")
	counter, err := meter.Int64Counter("count")
	require.NoError(b, err)
	histogram, err := meter.Float64Histogram("duration", metric.WithUnit("s"))
	require.NoError(b, err)
	labels := metric.WithAttributeSet(attribute.NewSet(attribute.String("deployhook.outcome", "delivered")))
	count, record := []metric.AddOption{labels}, []metric.RecordOption{labels}
	client := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)}
	return func(ctx context.Context, h http.Header) (context.Context, func()) {
		started := time.Now()
		ctx, span := tracer.Start(ctx, "attempt", client...)
		propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(h))
		return ctx, func() {
			counter.Add(ctx, 1, count...)
			histogram.Record(ctx, time.Since(started).Seconds(), record...)
			span.End()
		}
	}
}
