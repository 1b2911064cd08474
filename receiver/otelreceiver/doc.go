// Package otelreceiver adds metrics and traces by OpenTelemetry to package
// receiver.
//
//	// scheme and store come from packages signer and dedupe.
//	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"), receiver.WithTelemetry(otelreceiver.Open()))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/deploy", rcv.Events(onEvent))
//
// The endpoints of package deployments take it the same way, with
// deployments.WithTelemetry. Package otelinbox is for inboxes, and package
// otelservice for health checks. The program sets the providers, with
// otel.SetMeterProvider and otel.SetTracerProvider or with options.
//
// # Prometheus
//
// Pass meters to [Open], also to those of otelinbox and otelservice, and mount
// promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) under "GET /metrics".
// Only Prometheus should reach it.
//
//	registry := prometheus.NewRegistry()
//	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
//	if err != nil {
//		return err
//	}
//	meters := otelreceiver.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(exporter)))
//
// These are the imports:
//
//	"github.com/prometheus/client_golang/prometheus"
//	"github.com/prometheus/client_golang/prometheus/promhttp"
//	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
//	"go.opentelemetry.io/otel/sdk/metric"
//
// # Metrics
//
//	name                                     unit       attributes
//	deployhook.receiver.requests             {request}  source, outcome, event type
//	deployhook.receiver.requests.in_flight   {request}  source
//	deployhook.receiver.request.duration     s          source, outcome
//	deployhook.receiver.request.body.size    By         source
//	deployhook.receiver.claim.duration       s          source
//	deployhook.receiver.handler.duration     s          source, outcome
//
// The attributes are deployhook.source, which is the name that was given to
// WithDedupe, deployhook.outcome, which is a receiver.Outcome, and
// deployhook.event.type. A request that was not decoded as an event has no
// event type. A type that is not declared ([WithEventTypes]) counts as "other".
// No attribute comes from a request that was not verified, and such a request
// is not counted in flight.
//
// After the first collection, requests whose trace is not sampled are measured
// many at a time, at the latest at the beginning of the next collection. Their
// measurements have no trace. This matters only to an exemplar filter that
// takes measurements without a sampled trace.
//
// The names are not http.server.request.duration and the like. A service that
// also uses otelhttp would count each request twice.
//
// # Traces
//
// Each verified request has a span "receive SOURCE". It begins with the request
// and ends after the answer. Its parent is the sender's span, from the header
// traceparent, or the span that middleware has put into the request's context.
// The handler gets it in its context. A request that was not verified has no
// span, so that a flood of forged requests makes no traces, and its traceparent
// is not read.
//
// # Security
//
//   - The header traceparent is not signed. Someone between sender and receiver
//     can change it, and thereby have a delivery sampled. It decides nothing
//     else.
//   - Spans have the delivery's ID, the event's type and the deployment's ID,
//     but never a body, a header or a secret.
//
// # Misuses
//
//   - Declaring types that customers invent. Each one is a label.
//   - Giving sources names that contain customers. Use one source for each
//     sending system.
package otelreceiver
