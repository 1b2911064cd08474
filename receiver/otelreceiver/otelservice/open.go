package otelservice

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/service"
)

const scope = "github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"

// readTimeout bounds what the collection of metrics waits for the checks.
const readTimeout = 5 * time.Second

// Open returns the value of service.WithTelemetry. Mistakes in options are
// errors of service.New.
func Open(opts ...otelreceiver.Option) func(checks func(context.Context) []service.CheckResult) (io.Closer, error) {
	return func(checks func(context.Context) []service.CheckResult) (io.Closer, error) {
		s, err := otelsettings.New(opts)
		if err != nil {
			return nil, fmt.Errorf("otelservice: %w", err)
		}
		m := s.Meters.Meter(scope)
		ready, err := m.Int64ObservableGauge("deployhook.service.ready",
			metric.WithDescription("1 if the check of readiness succeeded, otherwise 0."))
		if err != nil {
			return nil, fmt.Errorf("otelservice: %w", err)
		}
		r, err := m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
			ctx, cancel := context.WithTimeout(ctx, readTimeout)
			defer cancel()
			for _, c := range checks(ctx) {
				o.ObserveInt64(ready, valueOf(c.Err), metric.WithAttributeSet(s.With(attribute.String("deployhook.check", c.Name))))
			}
			return nil
		}, ready)
		if err != nil {
			return nil, fmt.Errorf("otelservice: %w", err)
		}
		return registration{r}, nil
	}
}

func valueOf(err error) int64 {
	if err != nil {
		return 0
	}
	return 1
}

// registration ends the reading of the checks.
type registration struct{ metric.Registration }

func (r registration) Close() error { return r.Unregister() }
