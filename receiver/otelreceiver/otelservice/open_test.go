package otelservice_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
)

// read returns the values of deployhook.service.ready by check.
func read(t *testing.T, reader *sdkmetric.ManualReader) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	require.NoError(t, reader.Collect(t.Context(), &all))
	got := map[string]int64{}
	for _, s := range all.ScopeMetrics {
		for _, m := range s.Metrics {
			require.Equal(t, "deployhook.service.ready", m.Name)
			for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
				name, ok := p.Attributes.Value("deployhook.check")
				require.True(t, ok)
				process, _ := p.Attributes.Value("process")
				require.Equal(t, "one", process.AsString())
				got[name.AsString()] = p.Value
			}
		}
	}
	return got
}

func newService(t *testing.T, opts ...service.Option) (*service.Service, *sdkmetric.ManualReader) {
	t.Helper()
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	t.Cleanup(func() { require.NoError(t, meters.Shutdown(context.Background())) })
	s, err := service.New(http.NotFoundHandler(), append(opts, service.WithLogger(slog.New(slog.DiscardHandler)), service.WithDrain(0),
		service.WithTelemetry(otelservice.Open(otelreceiver.WithMeterProvider(meters), otelreceiver.WithAttributes(attribute.String("process", "one")))))...)
	require.NoError(t, err)
	return s, reader
}

// The collection of metrics runs the checks, at most every five seconds.
func TestOpen_ObservesTheChecks(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var full error
		calls := 0
		_, reader := newService(t, service.WithCheck("deliveries", func(context.Context) error { calls++; return full }),
			service.WithCheck("cache", func(context.Context) error { return nil }))
		require.Equal(t, map[string]int64{"deliveries": 1, "cache": 1}, read(t, reader))
		full = errors.New("disk full")
		require.Equal(t, map[string]int64{"deliveries": 1, "cache": 1}, read(t, reader))
		time.Sleep(5 * time.Second)
		require.Equal(t, map[string]int64{"deliveries": 0, "cache": 1}, read(t, reader))
		require.Equal(t, 2, calls)
	})
}

func TestOpen_TakesAHangingCheckAsFailed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		_, reader := newService(t, service.WithCheckTimeout(time.Minute), service.WithCheck("deliveries", func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}))
		began := time.Now()
		require.Equal(t, map[string]int64{"deliveries": 0}, read(t, reader))
		require.Equal(t, 5*time.Second, time.Since(began))
		time.Sleep(time.Minute) // until the check has returned
	})
}

func TestOpen_ObservesNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	s, reader := newService(t, service.WithCheck("deliveries", func(context.Context) error { return nil }))
	require.Len(t, read(t, reader), 1)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Run(ctx, l))
	require.Empty(t, read(t, reader))
}

func TestOpen_ReportsMistakes(t *testing.T) {
	t.Parallel()
	_, err := service.New(http.NotFoundHandler(), service.WithTelemetry(otelservice.Open(otelreceiver.WithMeterProvider(nil))))
	require.ErrorIs(t, err, service.ErrConfig)
	require.ErrorContains(t, err, "WithTelemetry: otelservice: WithMeterProvider: the provider is nil")
}
