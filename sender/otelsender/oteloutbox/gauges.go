package oteloutbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/sender/outbox"
)

// readTimeout bounds what the collection of metrics waits for the database.
const readTimeout = 5 * time.Second

// gauges are read from the database when metrics are collected.
type gauges struct {
	registration                     metric.Registration
	settings                         *otelsettings.Settings
	up, pending, due, inFlight, dead metric.Int64ObservableGauge
	endpoints, breakers              metric.Int64ObservableGauge
	oldestDue, oldestBreaker         metric.Float64ObservableGauge
	plain                            metric.MeasurementOption
}

func newGauges(s *otelsettings.Settings, m metric.Meter, stats func(context.Context) (outbox.Stats, error)) (*gauges, error) {
	g := &gauges{settings: s, plain: metric.WithAttributeSet(s.With())}
	var errs []error
	count := func(name, unit, description string) metric.Int64ObservableGauge {
		i, err := m.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(description))
		errs = append(errs, err)
		return i
	}
	age := func(name, description string) metric.Float64ObservableGauge {
		i, err := m.Float64ObservableGauge(name, metric.WithUnit("s"), metric.WithDescription(description))
		errs = append(errs, err)
		return i
	}
	const delivery, endpoint = "{delivery}", "{endpoint}"
	g.up = count("deployhook.outbox.up", "", "1 if the database of the outbox answers, otherwise 0.")
	g.pending = count("deployhook.outbox.pending", delivery, "Deliveries that wait for an attempt or have one now.")
	g.due = count("deployhook.outbox.due", delivery, "Pending deliveries whose time for the next attempt has come.")
	g.inFlight = count("deployhook.outbox.in_flight", delivery, "Pending deliveries on which a process is working.")
	g.dead = count("deployhook.outbox.dead", delivery, "Dead letters.")
	g.endpoints = count("deployhook.outbox.endpoints", endpoint, "Endpoints by state.")
	g.breakers = count("deployhook.outbox.breakers", endpoint, "Endpoints whose circuit breaker is not closed, by its state.")
	g.oldestDue = age("deployhook.outbox.oldest_due.age", "Time since the first due delivery became due, 0 if none is due.")
	g.oldestBreaker = age("deployhook.outbox.oldest_breaker.age", "Longest time that an endpoint with an open circuit breaker has failed.")
	var err error
	g.registration, err = m.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		ctx, cancel := context.WithTimeout(ctx, readTimeout)
		defer cancel()
		s, err := stats(ctx)
		return g.observe(o, s, err)
	}, g.up, g.pending, g.due, g.inFlight, g.dead, g.endpoints, g.breakers, g.oldestDue, g.oldestBreaker)
	return g, errors.Join(append(errs, err)...)
}

func (g *gauges) observe(o metric.Observer, s outbox.Stats, err error) error {
	switch {
	case errors.Is(err, outbox.ErrClosed), errors.Is(err, outbox.ErrConfig): // not made yet
		return nil
	case err != nil:
		o.ObserveInt64(g.up, 0, g.plain)
		return fmt.Errorf("oteloutbox: %w", err)
	}
	o.ObserveInt64(g.up, 1, g.plain)
	o.ObserveInt64(g.pending, int64(s.Pending.N), g.plain)
	o.ObserveInt64(g.due, int64(s.Due.N), g.plain)
	o.ObserveInt64(g.inFlight, int64(s.InFlight.N), g.plain)
	o.ObserveInt64(g.dead, int64(s.States[outbox.Failed].N), g.plain)
	for _, state := range [...]outbox.EndpointState{outbox.EndpointActive, outbox.EndpointFailing, outbox.EndpointDisabled} {
		o.ObserveInt64(g.endpoints, int64(s.EndpointStates[state].N), g.with(string(state)))
	}
	o.ObserveInt64(g.breakers, int64(s.Breakers.Open.N), g.with("open"))
	o.ObserveInt64(g.breakers, int64(s.Breakers.HalfOpen.N), g.with("half_open"))
	o.ObserveFloat64(g.oldestDue, ageOf(s.OldestDue), g.plain)
	o.ObserveFloat64(g.oldestBreaker, ageOf(s.Breakers.FailingSince), g.plain)
	return nil
}

func (g *gauges) with(state string) metric.MeasurementOption {
	return metric.WithAttributeSet(g.settings.With(attribute.KeyValue{Key: keyState, Value: attribute.StringValue(state)}))
}

func ageOf(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return max(time.Since(t), 0).Seconds()
}

// Close ends the reading of the database. The outbox calls it once.
func (g *gauges) Close() error { return g.registration.Unregister() }
