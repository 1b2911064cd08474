package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/signer"
)

// sampling names the benchmarks. Compare them with benchstat -col /telemetry.
var sampling = []struct {
	name  string
	ratio float64 // of the traces, -1 without telemetry
}{{"telemetry=off", -1}, {"telemetry=sampled-1%", 0.01}, {"telemetry=sampled-all", 1}}

// providers export spans in batches, to nowhere.
type providers struct {
	reader  *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
	tracers *sdktrace.TracerProvider
}

// newProviders returns nil without telemetry.
func newProviders(b *testing.B, ratio float64) *providers {
	b.Helper()
	if ratio < 0 {
		return nil
	}
	p := &providers{reader: sdkmetric.NewManualReader()}
	p.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(p.reader))
	p.tracers = sdktrace.NewTracerProvider(sdktrace.WithBatcher(tracetest.NewNoopExporter()),
		sdktrace.WithSampler(sdktrace.ParentBased(sdktrace.TraceIDRatioBased(ratio))))
	b.Cleanup(func() { require.NoError(b, p.tracers.Shutdown(context.Background())) })
	return p
}

// scrape collects the metrics once, as happens to a service soon after its
// start.
func (p *providers) scrape(b *testing.B) {
	b.Helper()
	if p != nil {
		require.NoError(b, p.reader.Collect(b.Context(), &metricdata.ResourceMetrics{}))
	}
}

// BenchmarkSend measures deliveries over loopback to a handler that only reads.
func BenchmarkSend(b *testing.B) {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(b, err)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) }))
	b.Cleanup(server.Close)
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: scheme}
	for _, c := range sampling {
		b.Run(c.name, func(b *testing.B) {
			opts := []sender.Option{sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))}
			p := newProviders(b, c.ratio)
			if p != nil {
				opts = append(opts, sender.WithTelemetry(otelsender.Open(otelsender.WithMeterProvider(p.meters), otelsender.WithTracerProvider(p.tracers))))
			}
			s, err := sender.New(opts...)
			require.NoError(b, err)
			b.Cleanup(func() { require.NoError(b, s.Close()) })
			p.scrape(b)
			body := make([]byte, 700)
			b.ReportAllocs()
			for b.Loop() {
				_, err := s.Deliver(b.Context(), ep, sender.Message{ID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", Type: payload.DeployLive, Body: body})
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkReceive measures requests over loopback, with a claim in memory.
func BenchmarkReceive(b *testing.B) {
	for _, c := range sampling {
		b.Run(c.name, func(b *testing.B) {
			scheme, err := signer.NewStandard(signer.GenerateSecret())
			require.NoError(b, err)
			store, err := dedupe.NewMemory()
			require.NoError(b, err)
			opts := []receiver.Option{receiver.WithDedupe(store, "bench"), receiver.WithLogger(slog.New(slog.DiscardHandler))}
			p := newProviders(b, c.ratio)
			if p != nil {
				opts = append(opts, receiver.WithTelemetry(otelreceiver.Open(otelreceiver.WithMeterProvider(p.meters), otelreceiver.WithTracerProvider(p.tracers))))
			}
			rcv, err := receiver.New(scheme, opts...)
			require.NoError(b, err)
			p.scrape(b)
			server := httptest.NewServer(rcv.Events(func(context.Context, *payload.Event) error { return nil }))
			b.Cleanup(server.Close)
			e := event(payload.DeployLive)
			body, err := e.Encode()
			require.NoError(b, err)
			b.ReportAllocs()
			for b.Loop() {
				post(b, server.URL, scheme, body)
			}
		})
	}
}

func post(b *testing.B, url string, scheme signer.Signer, body []byte) {
	r, err := http.NewRequestWithContext(b.Context(), http.MethodPost, url, bytes.NewReader(body))
	require.NoError(b, err)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(b, scheme.Sign(b.Context(), r, payload.NewDeliveryID(), time.Now(), body))
	a, err := http.DefaultClient.Do(r)
	require.NoError(b, err)
	_, _ = io.Copy(io.Discard, a.Body) // so that the connection is used again
	_ = a.Body.Close()
	require.Equal(b, 200, a.StatusCode)
}
