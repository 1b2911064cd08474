package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/deployhook/deployhook/receiver/otelreceiver"
)

// newTelemetry returns the telemetry of receivers, and the handler that serves
// their metrics in the format of Prometheus.
func newTelemetry() (openTelemetry, http.Handler, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return nil, nil, err
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter))
	return otelreceiver.Open(otelreceiver.WithMeterProvider(meters)), promhttp.HandlerFor(registry, promhttp.HandlerOpts{}), nil
}
