package otelsettings

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const traceparent = "traceparent"

// Header lets a propagator read and write the header of a request. It does the
// same as a HeaderCarrier, but knows the form of the names of W3C Trace Context
// and need not compute them.
type Header struct{ propagation.HeaderCarrier }

// Get returns the first value of a header.
func (h Header) Get(key string) string {
	name, ok := knownName(key)
	if !ok {
		return h.HeaderCarrier.Get(key)
	}
	if values := h.HeaderCarrier[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// Set sets a header.
func (h Header) Set(key, value string) {
	if name, ok := knownName(key); ok {
		h.HeaderCarrier[name] = []string{value}
		return
	}
	h.HeaderCarrier.Set(key, value)
}

func knownName(key string) (name string, ok bool) {
	switch key {
	case traceparent:
		return "Traceparent", true
	case "tracestate":
		return "Tracestate", true
	}
	return "", false
}

// carrier holds what a propagator reads and writes. Only traceparent is stored.
type carrier struct{ value string }

func (c *carrier) Get(key string) string {
	if key != traceparent {
		return ""
	}
	return c.value
}

func (c *carrier) Set(key, value string) {
	if key == traceparent {
		c.value = value
	}
}

func (c *carrier) Keys() []string { return []string{traceparent} }

// Trace returns the span of ctx as text. It is empty without a span. The text
// is a traceparent of W3C Trace Context for any propagator, because it is only
// stored.
func Trace(ctx context.Context) string {
	var c carrier
	propagation.TraceContext{}.Inject(ctx, &c)
	return c.value
}

// Continue returns a context whose span is that of a text of [Trace].
func Continue(ctx context.Context, text string) context.Context {
	return propagation.TraceContext{}.Extract(ctx, &carrier{text})
}

// Link returns a link to the span of a text of [Trace].
func Link(text string) (trace.Link, bool) {
	span := trace.SpanContextFromContext(Continue(context.Background(), text))
	return trace.Link{SpanContext: span}, span.IsValid()
}
