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

// The snippet of package oteloutbox, whose module does not have Prometheus.
var _ = snippetOfOteloutbox

func snippetOfOteloutbox(mux *http.ServeMux, open func(outbox.Option) error) error {
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	if err != nil {
		return err
	}
	meters := otelsender.WithMeterProvider(metric.NewMeterProvider(metric.WithReader(exporter)))
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return open(outbox.WithTelemetry(oteloutbox.Open(meters)))
}
