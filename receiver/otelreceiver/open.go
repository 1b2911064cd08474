package otelreceiver

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

const scope = "github.com/deployhook/deployhook/receiver/otelreceiver"

const (
	keySource  = attribute.Key("deployhook.source")
	keyOutcome = attribute.Key("deployhook.outcome")
	keyType    = attribute.Key("deployhook.event.type")
)

// Open returns the value of receiver.WithTelemetry and
// deployments.WithTelemetry. It returns the same metrics for each receiver,
// told apart by their sources. Mistakes in options are errors of receiver.New.
func Open(opts ...Option) func(source string) (receiver.Telemetry, error) {
	return func(source string) (receiver.Telemetry, error) {
		s, err := otelsettings.New(opts)
		if err != nil {
			return nil, fmt.Errorf("otelreceiver: %w", err)
		}
		t := &telemetry{
			Settings: s, source: source, name: "receive " + source, tracer: s.Tracers.Tracer(scope),
			server: trace.WithSpanKind(trace.SpanKindServer), internal: trace.WithSpanKind(trace.SpanKindInternal),
			types: otelsettings.NewByType(s, func(label string) *eventType { return &eventType{label: label} }),
		}
		if source == "" {
			t.name = "receive"
		}
		if t.meters, err = newMeters(s, t.sourceAttribute()); err == nil {
			err = otelsettings.Register(t, s.Meters.Meter(scope), t.meters.collect, t.meters.ended.Flush, t.running)
		}
		if err != nil {
			return nil, fmt.Errorf("otelreceiver: %w", err)
		}
		return t, nil
	}
}

// telemetry follows the requests of one receiver.
type telemetry struct {
	*otelsettings.Settings

	*meters

	source, name     string
	tracer           trace.Tracer
	server, internal trace.SpanStartOption // kinds of spans
	types            otelsettings.ByType[*eventType]
	noType           eventType
}

func (t *telemetry) sourceAttribute() []attribute.KeyValue {
	if t.source == "" {
		return nil
	}
	return []attribute.KeyValue{keySource.String(t.source)}
}

// eventType has what is made once for an event type. There is one without a
// label for requests that were not decoded as an event.
type eventType struct {
	label  string
	series otelsettings.Few[receiver.Outcome, *series]
}

func (t *telemetry) seriesOf(typ *eventType, o receiver.Outcome) *series {
	return typ.series.Get(o, func(receiver.Outcome) *series { return newSeries(t.Settings, t.sourceAttribute(), o, typ.label) })
}

// followed is the context of a request with a span. End knows its own span by
// the type, since the context of a request may have that of middleware.
type followed struct {
	context.Context
	span trace.Span
	opts [2]trace.SpanStartOption // here, so that they need no further allocation
}

// Start begins the span of a verified request.
func (t *telemetry) Start(r *http.Request, _ *receiver.Delivery, began time.Time) context.Context {
	ctx, f := r.Context(), &followed{opts: [2]trace.SpanStartOption{trace.WithTimestamp(began), t.internal}}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = t.Propagator.Extract(ctx, otelsettings.Header{HeaderCarrier: propagation.HeaderCarrier(r.Header)})
		f.opts[1] = t.server
	}
	f.Context, f.span = t.tracer.Start(ctx, t.name, f.opts[:]...)
	t.inFlight.Add(1) // last, so that a panic leaves it as it was
	return f
}

// End measures a request and ends its span.
func (t *telemetry) End(ctx context.Context, res receiver.Result) {
	of := t.seriesOf(t.typeOf(res.Delivery), res.Outcome)
	f, ok := ctx.(*followed)
	if !ok { // it was not verified
		t.ended.End(ctx, trace.SpanContextFromContext(ctx), newRequest(of, &res))
		return
	}
	t.inFlight.Add(-1)
	t.describe(f.span, &res)
	defer f.span.End()
	t.ended.End(ctx, f.span.SpanContext(), newRequest(of, &res))
}

func (t *telemetry) typeOf(d *receiver.Delivery) *eventType {
	if d == nil || d.Event == nil {
		return &t.noType
	}
	return t.types.Of(string(d.Event.Type))
}

func (t *telemetry) describe(span trace.Span, res *receiver.Result) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(t.Attributes...)
	span.SetAttributes(t.sourceAttribute()...)
	span.SetAttributes(
		keyOutcome.String(string(res.Outcome)), attribute.Int("http.response.status_code", res.Status),
		attribute.String("messaging.system", "deployhook"), attribute.Int("messaging.message.body.size", res.BodySize))
	if d := res.Delivery; d != nil {
		describeDelivery(span, d)
	}
	if res.Status >= http.StatusInternalServerError {
		span.SetAttributes(attribute.String("error.type", string(res.Outcome)))
		span.SetStatus(codes.Error, string(res.Outcome))
	}
}

func describeDelivery(span trace.Span, d *receiver.Delivery) {
	if d.ID != "" {
		span.SetAttributes(attribute.String("messaging.message.id", d.ID))
	}
	deployment, typ := "", payload.Type("")
	switch {
	case d.Event != nil:
		deployment, typ = d.Event.DeploymentID, d.Event.Type
	case d.Deployment != nil:
		deployment = d.Deployment.DeploymentID
	}
	if typ != "" {
		span.SetAttributes(keyType.String(string(typ)))
	}
	if deployment != "" {
		span.SetAttributes(attribute.String("deployhook.deployment.id", deployment))
	}
}
