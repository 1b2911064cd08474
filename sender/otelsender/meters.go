package otelsender

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/sender"
)

// maxHeld is how many attempts are measured together.
const maxHeld = 64

// meters measures attempts and deliveries.
//
// A measurement is slow after a request, because what the SDK needs for it has
// left the processor's caches. Attempts are therefore held and then measured
// together. This happens when maxHeld are held, and at the beginning of each
// collection, so that a collection misses nothing. There are two exceptions:
//
//   - Nothing is held before the first collection, which shows that the
//     provider calls collect. It does not if a view drops the number in flight.
//   - Sampled attempts are measured at once. Their traces can become exemplars.
type meters struct {
	attempts   metric.Int64Counter
	retries    metric.Int64Counter
	deliveries metric.Int64Counter
	duration   metric.Float64Histogram
	phases     metric.Float64Histogram
	running    metric.Int64ObservableUpDownCounter
	plain      metric.MeasurementOption
	byPhase    [4][]metric.RecordOption

	inFlight  atomic.Int64
	collected atomic.Bool

	mu    sync.Mutex
	held  []attempt
	ended []deliveries
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

// deliveries is a number of deliveries that have ended.
type deliveries struct {
	of *series
	n  int64
}

func newMeters(s *otelsettings.Settings) (*meters, error) {
	m := s.Meters.Meter(scope)
	t := &meters{plain: metric.WithAttributeSet(s.With()), held: make([]attempt, 0, maxHeld)}
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
	t.flush()
	t.collected.Store(true)
	return nil
}

// flush measures all that is held.
func (t *meters) flush() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.flushHeld()
	ended := t.ended
	t.ended = nil
	for _, d := range ended {
		t.deliveries.Add(context.Background(), d.n, d.of.count...)
	}
}

// holds reports whether what ends in a span may be held.
func (t *meters) holds(span trace.SpanContext) bool {
	return t.collected.Load() && !span.IsSampled()
}

func (t *meters) endAttempt(ctx context.Context, span trace.SpanContext, a attempt) {
	if !t.holds(span) {
		t.measure(ctx, []attempt{a})
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.held = append(t.held, a)
	if len(t.held) == maxHeld {
		t.flushHeld()
	}
}

func (t *meters) endDelivery(ctx context.Context, of *series) {
	if !t.holds(trace.SpanContextFromContext(ctx)) {
		t.deliveries.Add(ctx, 1, of.count...)
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := range t.ended {
		if t.ended[i].of == of {
			t.ended[i].n++
			return
		}
	}
	t.ended = append(t.ended, deliveries{of, 1})
}

// flushHeld measures the held attempts. Its caller has the lock.
func (t *meters) flushHeld() {
	held := t.held
	t.held = t.held[:0]
	t.measure(context.Background(), held)
}

// measure measures one instrument after the other.
func (t *meters) measure(ctx context.Context, all []attempt) {
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
	}
	for len(all) > 0 {
		of, n, retries := all[0].of, 0, 0
		for ; n < len(all) && all[n].of == of; n++ {
			if all[n].retry {
				retries++
			}
		}
		t.attempts.Add(ctx, int64(n), of.count...)
		if retries > 0 {
			t.retries.Add(ctx, int64(retries), of.outcome...)
		}
		all = all[n:]
	}
}
