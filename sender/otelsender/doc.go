// Package otelsender adds metrics and traces by OpenTelemetry to package
// sender.
//
//	s, err := sender.New(sender.WithTelemetry(otelsender.Open()))
//
// Package oteloutbox is for outboxes. The program sets the providers, with
// otel.SetMeterProvider and otel.SetTracerProvider or with options.
//
// # Metrics
//
//	name                                       unit        attributes
//	deployhook.sender.attempts                 {attempt}   outcome, error.type, event type
//	deployhook.sender.retries                  {attempt}   outcome
//	deployhook.sender.deliveries               {delivery}  outcome, error.type, event type
//	deployhook.sender.attempts.in_flight       {attempt}
//	deployhook.sender.attempt.duration         s           outcome
//	deployhook.sender.attempt.phase.duration   s           phase
//
// The attributes are deployhook.outcome, which is a sender.Outcome, error.type,
// which is a sender.Class and absent after a success, deployhook.event.type,
// and deployhook.phase, which is "dns", "connect", "tls" or "first_byte". A
// type that is not declared ([WithEventTypes]) counts as "other".
//
// After the first collection, attempts whose trace is not sampled are measured
// many at a time, at the latest at the beginning of the next collection. Their
// measurements have no trace. This matters only to an exemplar filter that
// takes measurements without a sampled trace.
//
// No attribute names an endpoint. There may be tens of thousands, and each
// would be a separate series. For the same reason the names are not
// http.client.request.duration and the like, which require the server's
// address. An outbox does not count deliveries here, see package oteloutbox.
//
// # Traces
//
// Each attempt has a span "attempt TYPE". It is a child of the span in the
// caller's context. An outbox has no such span, so each attempt begins a
// trace, with a link to the span that published the event. A trace that lasted
// as long as the retries, which may be days, would be of no use.
//
// The header traceparent carries the trace to the receiver. It is not signed.
// With tail sampling, keep the traces whose spans have an error. With a sampler
// at the beginning, publications and attempts are sampled independently.
//
// # Security
//
//   - Only traceparent and tracestate are sent, never baggage, unless
//     [WithPropagator] says otherwise. The endpoint is a customer's.
//   - Spans have the host of an endpoint, but never a path, which may be a
//     credential, a header, a body or the text of an error.
//
// # Misuses
//
//   - Declaring types that customers invent. Each one is a label.
//   - Setting the global propagator, with baggage, as [WithPropagator]. Every
//     endpoint would get the baggage.
package otelsender
