package otelsender

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"sync"
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
			Settings: s, tracer: s.Tracers.Tracer(scope), names: s.Names("attempt"),
			kind: []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindClient)},
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
	names      otelsettings.Names
	kind       []trace.SpanStartOption // without a link
	attempts   metric.Int64Counter
	retries    metric.Int64Counter
	deliveries metric.Int64Counter
	inFlight   metric.Int64UpDownCounter
	duration   metric.Float64Histogram
	phases     metric.Float64Histogram

	plain   []metric.AddOption
	byPhase [4][]metric.RecordOption
	byLabel sync.Map // of *measured by labels, whose number is bounded
}

func (t *telemetry) instruments(m metric.Meter) error {
	var errs [6]error
	t.attempts, errs[0] = m.Int64Counter("deployhook.sender.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that have ended."))
	t.retries, errs[1] = m.Int64Counter("deployhook.sender.retries", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that were not the first of their delivery."))
	t.deliveries, errs[2] = m.Int64Counter("deployhook.sender.deliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that have ended, by calls of Send and Deliver."))
	t.inFlight, errs[3] = m.Int64UpDownCounter("deployhook.sender.attempts.in_flight", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that this process is making."))
	t.duration, errs[4] = m.Float64Histogram("deployhook.sender.attempt.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time from the start of an attempt to the end of its answer."))
	t.phases, errs[5] = m.Float64Histogram("deployhook.sender.attempt.phase.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time of the parts of attempts that happened."))
	t.plain = []metric.AddOption{metric.WithAttributeSet(t.With())}
	for i, name := range [...]string{"dns", "connect", "tls", "first_byte"} {
		t.byPhase[i] = []metric.RecordOption{metric.WithAttributeSet(t.With(keyPhase.String(name)))}
	}
	return errors.Join(errs[:]...)
}

// labels tell series apart.
type labels struct {
	outcome sender.Outcome
	class   sender.Class
	typ     string
}

// measured has the options of measurements, which are made once.
type measured struct {
	count   []metric.AddOption
	outcome []metric.AddOption
	record  []metric.RecordOption
}

func (t *telemetry) measured(l labels) *measured {
	if m, ok := t.byLabel.Load(l); ok {
		return m.(*measured)
	}
	only := metric.WithAttributeSet(t.With(keyOutcome.String(string(l.outcome))))
	all := []attribute.KeyValue{keyOutcome.String(string(l.outcome)), keyType.String(l.typ)}
	if l.class != sender.ClassNone {
		all = append(all, keyClass.String(string(l.class)))
	}
	m := &measured{
		count:   []metric.AddOption{metric.WithAttributeSet(t.With(all...))},
		outcome: []metric.AddOption{only},
		record:  []metric.RecordOption{only},
	}
	kept, _ := t.byLabel.LoadOrStore(l, m)
	return kept.(*measured)
}

// followed is the context of an attempt with its span.
type followed struct {
	context.Context
	span trace.Span
}

// StartAttempt begins the span of an attempt. Its trace is that of the caller,
// or a new one with a link to the event's publication.
func (t *telemetry) StartAttempt(ctx context.Context, s sender.AttemptStart, h http.Header) context.Context {
	t.inFlight.Add(ctx, 1, t.plain...)
	opts := t.kind
	if s.Trace != "" {
		if link, ok := otelsettings.Link(s.Trace); ok {
			opts = []trace.SpanStartOption{t.kind[0], trace.WithLinks(link)}
		}
	}
	ctx, span := t.tracer.Start(ctx, t.names.Of(string(s.Type)), opts...)
	if span.IsRecording() {
		t.describe(span, &s)
	}
	t.Propagator.Inject(ctx, carrier{propagation.HeaderCarrier(h)})
	return &followed{ctx, span}
}

// carrier is a HeaderCarrier that knows the form of the usual header's name.
type carrier struct{ propagation.HeaderCarrier }

func (c carrier) Set(key, value string) {
	if key == "traceparent" {
		c.HeaderCarrier["Traceparent"] = []string{value}
		return
	}
	c.HeaderCarrier.Set(key, value)
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
	m := t.measured(labels{a.Outcome, a.Class, t.Type(string(a.Type))})
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
	if f, ok := ctx.(*followed); ok {
		t.inFlight.Add(ctx, -1, t.plain...)
		describeEnd(f.span, &a)
		f.span.End()
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
	l := labels{outcome: r.Outcome, typ: t.Type(string(typ))}
	if n := len(r.Attempts); n > 0 {
		l.class = r.Attempts[n-1].Class
	}
	t.deliveries.Add(ctx, 1, t.measured(l).count...)
}
