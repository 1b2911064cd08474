package otelsender

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
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
		if t.meters, err = newMeters(s); err == nil {
			err = otelsettings.Register(t, s.Meters.Meter(scope), t.meters.collect, t.meters.flush, t.running)
		}
		if err != nil {
			return nil, fmt.Errorf("otelsender: %w", err)
		}
		return t, nil
	}
}

// telemetry follows the attempts of one sender.
type telemetry struct {
	*otelsettings.Settings
	*meters

	tracer trace.Tracer
	client []trace.SpanStartOption // without a link
	types  otelsettings.ByType[*eventType]
}

// eventType has what is made once for an event type.
type eventType struct {
	label  string
	span   string // the name of its spans
	series otelsettings.Few[labels, *series]
}

func (t *telemetry) seriesOf(typ *eventType, o sender.Outcome, c sender.Class) *series {
	return typ.series.Get(labels{o, c}, func(l labels) *series { return newSeries(t.Settings, typ.label, l) })
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
		of := t.seriesOf(t.types.Of(string(a.Type)), a.Outcome, a.Class)
		t.ended.End(ctx, trace.SpanContextFromContext(ctx), newAttempt(of, &a))
		return
	}
	t.inFlight.Add(-1)
	describeEnd(f.span, &a)
	defer f.span.End()
	t.ended.End(ctx, f.span.SpanContext(), newAttempt(t.seriesOf(f.typ, a.Outcome, a.Class), &a))
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
	t.endedCalls.End(ctx, trace.SpanContextFromContext(ctx), t.seriesOf(t.types.Of(string(typ)), r.Outcome, class))
}
