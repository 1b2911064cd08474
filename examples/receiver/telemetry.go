package main

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/sdk/metric"

	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
)

// openTelemetry has what is measured, and the metrics in the format of
// Prometheus.
type openTelemetry struct {
	receivers func(source string) (receiver.Telemetry, error)
	health    service.Option
	metrics   http.Handler
}

func newTelemetry() (t openTelemetry, err error) {
	err = t.open()
	return t, err
}

func (t *openTelemetry) open() error {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return err
	}
	meters := otelreceiver.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(exporter)))
	t.receivers = otelreceiver.Open(meters)
	t.health = service.WithTelemetry(otelservice.Open(meters))
	t.metrics = promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	return nil
}
