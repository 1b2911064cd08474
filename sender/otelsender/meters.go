package otelsender

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/sender"
)

// meters measures attempts and deliveries.
type meters struct {
	attempts   metric.Int64Counter
	retries    metric.Int64Counter
	deliveries metric.Int64Counter
	duration   metric.Float64Histogram
	phases     metric.Float64Histogram
	running    metric.Int64ObservableUpDownCounter
	plain      metric.MeasurementOption
	byPhase    [4][]metric.RecordOption

	inFlight   atomic.Int64
	ended      *otelsettings.Held[attempt]
	endedCalls *otelsettings.Held[*series]
}

// labels tell the series of an event type apart. Their number is bounded.
type labels struct {
	outcome sender.Outcome
	class   sender.Class
}

// series has the options of measurements with the same labels.
type series struct {
	count   []metric.AddOption
	outcome []metric.AddOption
	record  []metric.RecordOption
}

func newSeries(s *otelsettings.Settings, typ string, l labels) *series {
	only := metric.WithAttributeSet(s.With(keyOutcome.String(string(l.outcome))))
	all := []attribute.KeyValue{keyOutcome.String(string(l.outcome)), keyType.String(typ)}
	if l.class != sender.ClassNone {
		all = append(all, keyClass.String(string(l.class)))
	}
	return &series{
		count:   []metric.AddOption{metric.WithAttributeSet(s.With(all...))},
		outcome: []metric.AddOption{only},
		record:  []metric.RecordOption{only},
	}
}

// attempt is what is measured of an attempt.
type attempt struct {
	of      *series
	retry   bool
	timings sender.Timings
}

func newAttempt(of *series, a *sender.Attempt) attempt {
	return attempt{of, a.Number > 1, a.Timings}
}

func newMeters(s *otelsettings.Settings) (*meters, error) {
	m := s.Meters.Meter(scope)
	t := &meters{plain: metric.WithAttributeSet(s.With())}
	t.ended, t.endedCalls = otelsettings.NewHeld(t.measure), otelsettings.NewHeld(t.measureCalls)
	var errs [6]error
	t.attempts, errs[0] = m.Int64Counter("deployhook.sender.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that have ended."))
	t.retries, errs[1] = m.Int64Counter("deployhook.sender.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that were not the first of their delivery."))
	t.deliveries, errs[2] = m.Int64Counter("deployhook.sender.deliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that have ended, by calls of Send and Deliver."))
	t.running, errs[3] = m.Int64ObservableUpDownCounter("deployhook.sender.attempts.in_flight", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that this process is making."))
	t.duration, errs[4] = m.Float64Histogram("deployhook.sender.attempt.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time from the start of an attempt to the end of its answer."))
	t.phases, errs[5] = m.Float64Histogram("deployhook.sender.attempt.phase.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time of the parts of attempts that happened."))
	for i, name := range [...]string{"dns", "connect", "tls", "first_byte"} {
		t.byPhase[i] = []metric.RecordOption{metric.WithAttributeSet(s.With(keyPhase.String(name)))}
	}
	return t, errors.Join(errs[:]...)
}

// collect is called at the beginning of each collection.
func (t *meters) collect(_ context.Context, o metric.Observer) error {
	o.ObserveInt64(t.running, t.inFlight.Load(), t.plain)
	t.ended.Collect()
	t.endedCalls.Collect()
	return nil
}

func (t *meters) flush() {
	t.ended.Flush()
	t.endedCalls.Flush()
}

// measure measures one instrument after the other.
func (t *meters) measure(ctx context.Context, all []attempt) {
	otelsettings.Count(ctx, t.attempts, all, func(a *attempt) *[]metric.AddOption { return &a.of.count })
	for i := range all {
		t.duration.Record(ctx, all[i].timings.Total.Seconds(), all[i].of.record...)
	}
	for i := range all {
		at := &all[i].timings
		for phase, d := range [...]time.Duration{at.DNS, at.Connect, at.TLS, at.FirstByte} {
			if d > 0 {
				t.phases.Record(ctx, d.Seconds(), t.byPhase[phase]...)
			}
		}
		if all[i].retry {
			t.retries.Add(ctx, 1, all[i].of.outcome...)
		}
	}
}

func (t *meters) measureCalls(ctx context.Context, all []*series) {
	otelsettings.Count(ctx, t.deliveries, all, func(of **series) *[]metric.AddOption { return &(*of).count })
}
