package otelsender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

const scope = "github.com/deployhook/deployhook/sender/otelsender"

const (
	keyOutcome = attribute.Key("deployhook.outcome")
	keyType    = attribute.Key("deployhook.event.type")
	keyClass   = attribute.Key("error.type")
	keyPhase   = attribute.Key("deployhook.phase")
)

// Open returns the value of sender.WithTelemetry. Mistakes in options are
// errors of sender.New.
func Open(opts ...Option) func() (sender.Telemetry, error) {
	return func() (sender.Telemetry, error) {
		s, err := otelsettings.New(opts)
		if err != nil {
			return nil, fmt.Errorf("otelsender: %w", err)
		}
		t := &telemetry{
			Settings: s, tracer: s.Tracers.Tracer(scope),
			client: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)},
			types:  otelsettings.NewByType(s, func(label string) *eventType { return &eventType{label: label, span: "attempt " + label} }),
		}
		if err := t.instruments(s.Meters.Meter(scope)); err != nil {
			return nil, fmt.Errorf("otelsender: %w", err)
		}
		return t, nil
	}
}

// telemetry follows the attempts of one sender.
type telemetry struct {
	*otelsettings.Settings

	tracer     trace.Tracer
	client     []trace.SpanStartOption // without a link
	attempts   metric.Int64Counter
	retries    metric.Int64Counter
	deliveries metric.Int64Counter
	duration   metric.Float64Histogram
	phases     metric.Float64Histogram

	inFlight *atomic.Int64
	byPhase  [4][]metric.RecordOption
	types    otelsettings.ByType[*eventType]
}

func (t *telemetry) instruments(m metric.Meter) error {
	var errs [6]error
	t.attempts, errs[0] = m.Int64Counter("deployhook.sender.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that have ended."))
	t.retries, errs[1] = m.Int64Counter("deployhook.sender.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that were not the first of their delivery."))
	t.deliveries, errs[2] = m.Int64Counter("deployhook.sender.deliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that have ended, by calls of Send and Deliver."))
	errs[3] = t.observeInFlight(m)
	t.duration, errs[4] = m.Float64Histogram("deployhook.sender.attempt.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time from the start of an attempt to the end of its answer."))
	t.phases, errs[5] = m.Float64Histogram("deployhook.sender.attempt.phase.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time of the parts of attempts that happened."))
	for i, name := range [...]string{"dns", "connect", "tls", "first_byte"} {
		t.byPhase[i] = []metric.RecordOption{metric.WithAttributeSet(t.With(keyPhase.String(name)))}
	}
	return errors.Join(errs[:]...)
}

// observeInFlight registers a function that reads the number of attempts in
// flight. Counting each beginning and end would cost as much as all other
// counters together. The registration ends when the telemetry is collected as
// garbage, as it refers to the number only.
func (t *telemetry) observeInFlight(m metric.Meter) error {
	counter, err := m.Int64ObservableUpDownCounter("deployhook.sender.attempts.in_flight", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that this process is making."))
	if err != nil {
		return err
	}
	inFlight, plain := new(atomic.Int64), metric.WithAttributeSet(t.With())
	registration, err := m.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		o.ObserveInt64(counter, inFlight.Load(), plain)
		return nil
	}, counter)
	if err != nil {
		return err
	}
	t.inFlight = inFlight
	runtime.AddCleanup(t, func(r metric.Registration) { _ = r.Unregister() }, registration) // it never fails
	return nil
}

// eventType has what is made once for an event type.
type eventType struct {
	label    string
	span     string // the name of its spans
	measured otelsettings.Few[labels, *measured]
}

// labels tell the series of an event type apart. Their number is bounded.
type labels struct {
	outcome sender.Outcome
	class   sender.Class
}

// measured has the options of measurements, which are made once.
type measured struct {
	count   []metric.AddOption
	outcome []metric.AddOption
	record  []metric.RecordOption
}

func (t *telemetry) measured(typ *eventType, outcome sender.Outcome, class sender.Class) *measured {
	return typ.measured.Get(labels{outcome, class}, func(labels) *measured {
		only := metric.WithAttributeSet(t.With(keyOutcome.String(string(outcome))))
		all := []attribute.KeyValue{keyOutcome.String(string(outcome)), keyType.String(typ.label)}
		if class != sender.ClassNone {
			all = append(all, keyClass.String(string(class)))
		}
		return &measured{
			count:   []metric.AddOption{metric.WithAttributeSet(t.With(all...))},
			outcome: []metric.AddOption{only},
			record:  []metric.RecordOption{only},
		}
	})
}

// followed is the context of an attempt with its span.
type followed struct {
	context.Context
	span trace.Span
	typ  *eventType
}

// StartAttempt begins the span of an attempt. Its trace is that of the caller,
// or a new one with a link to the event's publication.
func (t *telemetry) StartAttempt(ctx context.Context, s sender.AttemptStart, h http.Header) context.Context {
	typ, opts := t.types.Of(string(s.Type)), t.client
	if s.Trace != "" {
		if link, ok := otelsettings.Link(s.Trace); ok {
			opts = []trace.SpanStartOption{t.client[0], trace.WithLinks(link)}
		}
	}
	ctx, span := t.tracer.Start(ctx, typ.span, opts...)
	if span.IsRecording() {
		t.describe(span, &s)
	}
	t.Propagator.Inject(ctx, otelsettings.Header{HeaderCarrier: propagation.HeaderCarrier(h)})
	t.inFlight.Add(1) // last, so that a panic leaves it as it was
	return &followed{ctx, span, typ}
}

func (t *telemetry) describe(span trace.Span, s *sender.AttemptStart) {
	span.SetAttributes(t.Attributes...)
	span.SetAttributes(
		attribute.String("http.request.method", http.MethodPost), attribute.String("messaging.system", "deployhook"),
		attribute.String("messaging.message.id", s.ID), attribute.Int("messaging.message.body.size", s.Size),
		keyType.String(string(s.Type)))
	if s.Number > 1 {
		span.SetAttributes(attribute.Int("http.request.resend_count", s.Number-1))
	}
	if u, err := url.Parse(s.Endpoint); err == nil && u.Host != "" {
		span.SetAttributes(attribute.String("server.address", u.Hostname()))
		if port, err := strconv.Atoi(u.Port()); err == nil {
			span.SetAttributes(attribute.Int("server.port", port))
		}
	}
}

// EndAttempt measures an attempt and ends its span.
func (t *telemetry) EndAttempt(ctx context.Context, a sender.Attempt) {
	f, ok := ctx.(*followed)
	if !ok { // StartAttempt has panicked
		t.measure(ctx, t.types.Of(string(a.Type)), &a)
		return
	}
	t.inFlight.Add(-1)
	describeEnd(f.span, &a)
	defer f.span.End()
	t.measure(ctx, f.typ, &a)
}

func (t *telemetry) measure(ctx context.Context, typ *eventType, a *sender.Attempt) {
	m := t.measured(typ, a.Outcome, a.Class)
	t.attempts.Add(ctx, 1, m.count...)
	if a.Number > 1 {
		t.retries.Add(ctx, 1, m.outcome...)
	}
	t.duration.Record(ctx, a.Timings.Total.Seconds(), m.record...)
	for i, d := range [...]time.Duration{a.Timings.DNS, a.Timings.Connect, a.Timings.TLS, a.Timings.FirstByte} {
		if d > 0 {
			t.phases.Record(ctx, d.Seconds(), t.byPhase[i]...)
		}
	}
}

func describeEnd(span trace.Span, a *sender.Attempt) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(keyOutcome.String(string(a.Outcome)))
	if a.Status != 0 {
		span.SetAttributes(attribute.Int("http.response.status_code", a.Status))
	}
	if a.Addr.IsValid() {
		span.SetAttributes(attribute.String("network.peer.address", a.Addr.Addr().String()), attribute.Int("network.peer.port", int(a.Addr.Port())))
	}
	if a.Outcome != sender.Delivered {
		span.SetAttributes(keyClass.String(string(a.Class)))
		span.SetStatus(codes.Error, string(a.Class))
	}
}

// EndDelivery counts a delivery.
func (t *telemetry) EndDelivery(ctx context.Context, typ payload.Type, r *sender.Receipt) {
	var class sender.Class
	if n := len(r.Attempts); n > 0 {
		class = r.Attempts[n-1].Class
	}
	t.deliveries.Add(ctx, 1, t.measured(t.types.Of(string(typ)), r.Outcome, class).count...)
}
