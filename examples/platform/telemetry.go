package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

// openTelemetry has what is measured, and the metrics in the format of
// Prometheus.
type openTelemetry struct {
	outbox  outbox.Option
	health  service.Option
	metrics http.Handler
}

func newTelemetry() (openTelemetry, error) {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return openTelemetry{}, err
	}
	meters := metric.NewMeterProvider(metric.WithReader(exporter))
	return openTelemetry{
		outbox:  outbox.WithTelemetry(oteloutbox.Open(otelsender.WithMeterProvider(meters))),
		health:  service.WithTelemetry(otelservice.Open(otelreceiver.WithMeterProvider(meters))),
		metrics: promhttp.HandlerFor(registry, promhttp.HandlerOpts{}),
	}, nil
}
