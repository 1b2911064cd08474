// Package otelservice adds a metric by OpenTelemetry to the health checks of
// package service.
//
//	// mux has the handlers, and store comes from package dedupe.
//	srv, err := service.New(mux, service.WithCheck("deliveries", store.Ready), service.WithTelemetry(otelservice.Open()))
//
// The options are those of package otelreceiver. Only WithMeterProvider and
// WithAttributes have an effect.
//
// # Metrics
//
//	name                       unit   attributes
//	deployhook.service.ready   none   check
//
// deployhook.service.ready is 1 if the check succeeded, otherwise 0. It has the
// name of the check as deployhook.check. The collection of metrics runs the
// checks, at most every 5 seconds together with /readyz, and waits up to 5
// seconds. It therefore finds a store that refuses writes, even if no delivery
// arrives and no load balancer asks. While the process stops, the metric still
// shows the checks, although /readyz answers 503.
//
// # Misuses
//
//   - Several services in one process without otelreceiver.WithAttributes.
//     Checks of the same name would overwrite each other.
package otelservice
