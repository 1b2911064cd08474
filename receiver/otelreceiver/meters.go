package otelreceiver

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/receiver"
)

// meters measures the requests of one receiver.
type meters struct {
	requests metric.Int64Counter
	running  metric.Int64ObservableUpDownCounter
	duration metric.Float64Histogram
	bodySize metric.Int64Histogram
	claim    metric.Float64Histogram
	handler  metric.Float64Histogram

	observed metric.MeasurementOption // with the source only, and so is plain
	plain    []metric.RecordOption
	inFlight atomic.Int64
	ended    *otelsettings.Held[request]
}

func newMeters(s *otelsettings.Settings, source []attribute.KeyValue) (*meters, error) {
	m, set := s.Meters.Meter(scope), metric.WithAttributeSet(s.With(source...))
	t := &meters{observed: set, plain: []metric.RecordOption{set}}
	t.ended = otelsettings.NewHeld(t.measure)
	var errs [6]error
	t.requests, errs[0] = m.Int64Counter("deployhook.receiver.requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that were answered."))
	t.running, errs[1] = m.Int64ObservableUpDownCounter("deployhook.receiver.requests.in_flight", metric.WithUnit("{request}"),
		metric.WithDescription("Verified requests that this process is answering."))
	t.duration, errs[2] = m.Float64Histogram("deployhook.receiver.request.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time from the header of a request to its answer."))
	t.bodySize, errs[3] = m.Int64Histogram("deployhook.receiver.request.body.size", metric.WithUnit("By"),
		metric.WithExplicitBucketBoundaries(256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304),
		metric.WithDescription("Size of the bodies that were read."))
	t.claim, errs[4] = m.Float64Histogram("deployhook.receiver.claim.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time that the dedupe store took to answer a claim."))
	t.handler, errs[5] = m.Float64Histogram("deployhook.receiver.handler.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time that handlers took."))
	return t, errors.Join(errs[:]...)
}

// series has the options of measurements with the same labels.
type series struct {
	count  []metric.AddOption
	record []metric.RecordOption
}

func newSeries(s *otelsettings.Settings, source []attribute.KeyValue, o receiver.Outcome, typ string) *series {
	labels := append(slices.Clone(source), keyOutcome.String(string(o)))
	of := &series{record: []metric.RecordOption{metric.WithAttributeSet(s.With(labels...))}}
	if typ != "" {
		labels = append(labels, keyType.String(typ))
	}
	of.count = []metric.AddOption{metric.WithAttributeSet(s.With(labels...))}
	return of
}

// request is what is measured of a request.
type request struct {
	of                       *series
	duration, claim, handler time.Duration
	bodySize                 int
}

func newRequest(of *series, res *receiver.Result) request {
	return request{of, res.Duration, res.ClaimDuration, res.HandlerDuration, res.BodySize}
}

// collect is called at the beginning of each collection.
func (t *meters) collect(_ context.Context, o metric.Observer) error {
	o.ObserveInt64(t.running, t.inFlight.Load(), t.observed)
	t.ended.Collect()
	return nil
}

// measure measures one instrument after the other.
func (t *meters) measure(ctx context.Context, all []request) {
	otelsettings.Count(ctx, t.requests, all, func(r *request) *[]metric.AddOption { return &r.of.count })
	for i := range all {
		t.duration.Record(ctx, all[i].duration.Seconds(), all[i].of.record...)
	}
	for i := range all {
		if all[i].bodySize > 0 {
			t.bodySize.Record(ctx, int64(all[i].bodySize), t.plain...)
		}
	}
	for i := range all {
		if all[i].claim > 0 {
			t.claim.Record(ctx, all[i].claim.Seconds(), t.plain...)
		}
	}
	for i := range all {
		if all[i].handler > 0 {
			t.handler.Record(ctx, all[i].handler.Seconds(), all[i].of.record...)
		}
	}
}
