// Package oteloutbox adds metrics and traces by OpenTelemetry to package
// outbox.
//
//	// key comes from outbox.NewSealingKey.
//	o, err := outbox.OpenSQLite(ctx, "outbox.db", outbox.WithSealingKeys(key), outbox.WithTelemetry(oteloutbox.Open()))
//
// The options are those of package otelsender.
//
// # Prometheus
//
// Pass meters to Open, and mount
// promhttp.HandlerFor(registry, promhttp.HandlerOpts{}) under "GET /metrics".
// Only Prometheus should reach it.
//
//	registry := prometheus.NewRegistry()
//	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
//	if err != nil {
//		return err
//	}
//	meters := otelsender.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(exporter)))
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
//	name                                    unit        attributes
//	messaging.client.operation.duration     s           error.type
//	deployhook.outbox.deliveries            {delivery}  state, error.type, event type
//	deployhook.outbox.pending               {delivery}
//	deployhook.outbox.due                   {delivery}
//	deployhook.outbox.oldest_due.age        s
//	deployhook.outbox.in_flight             {delivery}
//	deployhook.outbox.dead                  {delivery}
//	deployhook.outbox.endpoints             {endpoint}  state
//	deployhook.outbox.breakers              {endpoint}  state
//	deployhook.outbox.oldest_breaker.age    s
//	deployhook.outbox.up                    none
//
// messaging.client.operation.duration is the time of a publication, by the
// semantic conventions for messaging, with messaging.system "deployhook" and
// messaging.operation.name "publish". error.type is "invalid", "conflict",
// "unknown_app", "canceled" or "store".
//
// deployhook.outbox.deliveries counts deliveries that have ended, with their
// outbox.State and the sender.Class of the last attempt. Failed ones are dead
// letters. Deliveries that are canceled together, because their endpoint was
// disabled or deleted, are not counted. Attempts have the metrics of package
// otelsender.
//
// The others are outbox.Stats, read when metrics are collected, by each
// process. All processes of an outbox report the same figures, so take their
// maximum, not their sum. Counts end at outbox.MaxCount.
// deployhook.outbox.breakers has the states "open" and "half_open".
// deployhook.outbox.oldest_breaker.age is how long the endpoint has failed that
// has failed longest of those with such a breaker. deployhook.outbox.up is 0 if
// the database did not answer within 5 seconds, and the other figures are
// missing then.
//
// # Traces
//
// A publication has a span "publish TYPE" around the storing of the event. Its
// trace is stored with the event. Each attempt has a span of its own trace,
// with a link to that of the publication, see package otelsender. This also
// holds for replays and for missed events, in any process.
//
// # Security
//
//   - The stored trace is an identifier of 55 bytes. It says nothing about the
//     event, and is erased with its body.
//   - No attribute of a metric names an app, an endpoint or a delivery. Spans
//     have the event's ID, its type and the app.
//
// # Misuses
//
//   - Several outboxes in one process without otelsender.WithAttributes. Their
//     figures would overwrite each other.
//   - Adding up the figures of several processes.
package oteloutbox
