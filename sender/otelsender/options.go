package otelsender

import (
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/payload"
)

// Option is an option of [Open], and of Open in package oteloutbox.
type Option func(*otelsettings.Settings)

// WithMeterProvider sets where metrics go. Default: the global provider of
// package otel, which drops them until the program sets one. Nil is an error.
func WithMeterProvider(p metric.MeterProvider) Option {
	return func(s *otelsettings.Settings) { s.SetMeters(p) }
}

// WithTracerProvider sets where spans go. Default: the global provider of
// package otel, which drops them until the program sets one. Nil is an error.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(s *otelsettings.Settings) { s.SetTracers(p) }
}

// WithPropagator sets which headers carry the trace of an attempt to its
// endpoint. Default: W3C Trace Context, which is the header traceparent. The
// global propagator is not used, because it often has baggage, and endpoints
// are customers'. A propagator without fields sends nothing. Nil is an error.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(s *otelsettings.Settings) { s.SetPropagator(p) }
}

// WithEventTypes declares event types of your own that metrics may tell apart.
// Default: the types of package payload. All others count as "other", so that
// customers can't make the number of series grow. Naming none, an empty type
// and more than 100 are errors. Repeated options add up. Spans have every type.
func WithEventTypes(types ...payload.Type) Option {
	return func(s *otelsettings.Settings) { otelsettings.Declare(s, types) }
}

// WithAttributes adds attributes to all metrics and spans, for example the name
// of one of several outboxes of a process. Default: none. Repeated options add
// up.
func WithAttributes(attributes ...attribute.KeyValue) Option {
	return func(s *otelsettings.Settings) { s.Attributes = append(s.Attributes, attributes...) }
}
