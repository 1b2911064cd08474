package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// newTelemetry returns the telemetry of the outbox, and the handler that serves
// its metrics in the format of Prometheus.
func newTelemetry() (outbox.Option, http.Handler, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter))
	telemetry := outbox.WithTelemetry(oteloutbox.Open(otelsender.WithMeterProvider(meters)))
	return telemetry, promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
