// Package otelinbox adds metrics and traces by OpenTelemetry to package inbox,
// and to the requests of its handlers.
//
//	in, err := inbox.OpenSQLite(ctx, "inbox.db", onEvent, inbox.WithTelemetry(otelinbox.Open()))
//
// The options are those of package otelreceiver.
//
// # Metrics
//
//	name                                  unit        attributes
//	deployhook.inbox.attempts             {attempt}   source, state, event type
//	messaging.process.duration            s           messaging.destination.name, error.type
//	deployhook.inbox.pending              {delivery}
//	deployhook.inbox.limit                {delivery}
//	deployhook.inbox.oldest_pending.age   s
//	deployhook.inbox.dead                 {delivery}
//	deployhook.inbox.up                   none
//
// An attempt has the state of its delivery afterwards, which is an inbox.State.
// It is "pending" if there will be another attempt. messaging.process.duration
// is the time of the handler, by the semantic conventions for messaging, with
// messaging.system "deployhook". error.type is "timeout" or "_OTHER". Requests
// have the metrics of package otelreceiver.
//
// The others are read from the database when metrics are collected, by each
// process. All processes of an inbox report the same figures, so take their
// maximum, not their sum. deployhook.inbox.dead counts up to inbox.MaxDead.
// deployhook.inbox.up is 0 if the database did not answer within 5 seconds, and
// the other figures are missing then.
//
// # Traces
//
// Each attempt has a span "process SOURCE" around the handler. It continues the
// trace of the request that brought the delivery, which is stored with it. An
// attempt in another process, or hours later, is part of the same trace.
//
// # Security
//
//   - The stored trace is an identifier of 55 bytes. It says nothing about the
//     event.
//   - Spans have the delivery's IDs, the event's type and the deployment's ID,
//     but never a body. An error of the handler is not in the span, because it
//     may quote the event. The log has it.
//
// # Misuses
//
//   - Several inboxes in one process without otelreceiver.WithAttributes. Their
//     figures would overwrite each other.
package otelinbox
