// Package teltest keeps metrics and spans in memory, for tests.
package teltest

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/deployhook/deployhook/sender/otelsender"
)

// Memory has what a test has measured.
type Memory struct {
	t       testing.TB
	reader  *sdkmetric.ManualReader
	meters  *sdkmetric.MeterProvider
	Spans   *tracetest.InMemoryExporter
	Tracers *sdktrace.TracerProvider
}

// New returns an empty Memory of a provider with the given views.
func New(t testing.TB, views ...sdkmetric.View) *Memory {
	t.Helper()
	m := &Memory{t: t, reader: sdkmetric.NewManualReader(), Spans: tracetest.NewInMemoryExporter()}
	m.Tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(m.Spans))
	m.meters = sdkmetric.NewMeterProvider(sdkmetric.WithReader(m.reader), sdkmetric.WithView(views...))
	t.Cleanup(func() { require.NoError(t, m.Tracers.Shutdown(context.Background())) })
	t.Cleanup(func() { require.NoError(t, m.meters.Shutdown(context.Background())) })
	return m
}

// Options let telemetry write into the Memory.
func (m *Memory) Options(more ...otelsender.Option) []otelsender.Option {
	return append([]otelsender.Option{otelsender.WithMeterProvider(m.meters), otelsender.WithTracerProvider(m.Tracers)}, more...)
}

// Read returns the values of all metrics by name and attributes. Those of a
// histogram are its counts.
func (m *Memory) Read() map[string]float64 {
	m.t.Helper()
	var all metricdata.ResourceMetrics
	_ = m.reader.Collect(m.t.Context(), &all) // its error is also a gauge
	got := map[string]float64{}
	for _, s := range all.ScopeMetrics {
		for _, one := range s.Metrics {
			note := func(set attribute.Set, v float64) { got[one.Name+"{"+set.Encoded(attribute.DefaultEncoder())+"}"] = v }
			switch data := one.Data.(type) {
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

// Exemplars returns the exemplars of the counters and histograms that have
// values, by the metric's name.
func (m *Memory) Exemplars() map[string][]metricdata.Exemplar[float64] {
	m.t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(m.t, m.reader.Collect(m.t.Context(), &all))
	got := map[string][]metricdata.Exemplar[float64]{}
	for _, s := range all.ScopeMetrics {
		for _, one := range s.Metrics {
			switch data := one.Data.(type) {
			case metricdata.Sum[int64]:
				if !data.IsMonotonic {
					continue
				}
				got[one.Name] = nil
				for _, p := range data.DataPoints {
					for _, e := range p.Exemplars {
						got[one.Name] = append(got[one.Name], metricdata.Exemplar[float64]{TraceID: e.TraceID, SpanID: e.SpanID})
					}
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[one.Name] = append(got[one.Name], p.Exemplars...)
				}
			}
		}
	}
	return got
}
