// Package otelsettings has the options that otelreceiver, otelsender and their
// packages share.
package otelsettings

import (
	"errors"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/nilable"
)

// MaxTypes is the number of types that can be declared. Each one multiplies the
// series of some metrics.
const MaxTypes = 100

// Other is the event type of metrics for types that are not declared.
const Other = "other"

// Durations are the buckets of all durations, in seconds. They are those of the
// semantic conventions for HTTP, and two longer ones for timeouts.
var Durations = metric.WithExplicitBucketBoundaries(0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 15, 30)

// known are the types that need no declaration. Those in the first line are
// from package payload, and the others from an outbox itself.
var known = [...]string{
	"deploy.started", "build.completed", "health_check.passed", "deploy.live", "deploy.failed", "deploy.rolled_back",
	"endpoint.failing", "endpoint.disabling", "endpoint.recovered", "endpoint.disabled", "webhook.test",
}

// Settings are the values of options.
type Settings struct {
	Meters     metric.MeterProvider
	Tracers    trace.TracerProvider
	Propagator propagation.TextMapPropagator
	Attributes []attribute.KeyValue
	types      map[string]bool
	problems   []error
}

// New applies options. Its error names all that are wrong.
func New[O ~func(*Settings)](opts []O) (*Settings, error) {
	s := &Settings{
		Meters: otel.GetMeterProvider(), Tracers: otel.GetTracerProvider(), Propagator: propagation.TraceContext{},
		types: map[string]bool{},
	}
	for _, t := range known {
		s.types[t] = true
	}
	for _, opt := range opts {
		if opt == nil {
			s.problems = append(s.problems, errors.New("a nil Option was given; leave it out"))
			continue
		}
		opt(s)
	}
	return s, errors.Join(s.problems...)
}

// Problem notes a mistake in an option.
func (s *Settings) Problem(format string, args ...any) {
	s.problems = append(s.problems, fmt.Errorf(format, args...))
}

// SetMeters is WithMeterProvider.
func (s *Settings) SetMeters(p metric.MeterProvider) {
	if nilable.IsNil(p) {
		s.Problem("WithMeterProvider: the provider is nil; leave it out for the global one")
		return
	}
	s.Meters = p
}

// SetTracers is WithTracerProvider.
func (s *Settings) SetTracers(p trace.TracerProvider) {
	if nilable.IsNil(p) {
		s.Problem("WithTracerProvider: the provider is nil; leave it out for the global one")
		return
	}
	s.Tracers = p
}

// SetPropagator is WithPropagator.
func (s *Settings) SetPropagator(p propagation.TextMapPropagator) {
	if nilable.IsNil(p) {
		s.Problem("WithPropagator: the propagator is nil; leave it out for W3C Trace Context")
		return
	}
	s.Propagator = p
}

// Declare is WithEventTypes.
func Declare[T ~string](s *Settings, types []T) {
	if len(types) == 0 {
		s.Problem("WithEventTypes: names no type; leave it out")
	}
	for _, t := range types {
		if t == "" {
			s.Problem("WithEventTypes: a type is empty")
			continue
		}
		s.types[string(t)] = true
	}
	if own := len(s.types) - len(known); own > MaxTypes {
		s.Problem("WithEventTypes: %d types are declared; at most %d, because each is a label of metrics", own, MaxTypes)
	}
}

// Type returns the text of an event type for a label.
func (s *Settings) Type(t string) string {
	if s.types[t] {
		return t
	}
	return Other
}

// With returns the attributes of all measurements, and more.
func (s *Settings) With(more ...attribute.KeyValue) attribute.Set {
	return attribute.NewSet(slices.Concat(s.Attributes, more)...)
}
