package otelreceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
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
		return t, t.instruments()
	}
}

// telemetry follows the requests of one receiver.
type telemetry struct {
	*otelsettings.Settings

	source, name     string
	tracer           trace.Tracer
	server, internal trace.SpanStartOption // kinds of spans
	requests         metric.Int64Counter
	duration         metric.Float64Histogram
	bodySize         metric.Int64Histogram
	claim            metric.Float64Histogram
	handler          metric.Float64Histogram

	plain  []metric.RecordOption // with the source only
	types  otelsettings.ByType[*eventType]
	noType eventType
}

func (t *telemetry) instruments() error {
	m := t.Meters.Meter(scope)
	var errs [5]error
	t.requests, errs[0] = m.Int64Counter("deployhook.receiver.requests", metric.WithUnit("{request}"),
		metric.WithDescription("Requests that were answered."))
	t.duration, errs[1] = m.Float64Histogram("deployhook.receiver.request.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time from the header of a request to its answer."))
	t.bodySize, errs[2] = m.Int64Histogram("deployhook.receiver.request.body.size", metric.WithUnit("By"),
		metric.WithExplicitBucketBoundaries(256, 512, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304),
		metric.WithDescription("Size of the bodies that were read."))
	t.claim, errs[3] = m.Float64Histogram("deployhook.receiver.claim.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time that the dedupe store took to answer a claim."))
	t.handler, errs[4] = m.Float64Histogram("deployhook.receiver.handler.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time that handlers took."))
	t.plain = []metric.RecordOption{metric.WithAttributeSet(t.With(t.sourceAttribute()...))}
	return errors.Join(errs[:]...)
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
	label    string
	measured otelsettings.Few[receiver.Outcome, *measured]
}

// measured has the options of measurements, which are made once.
type measured struct {
	count  []metric.AddOption
	record []metric.RecordOption
}

func (t *telemetry) measured(typ *eventType, o receiver.Outcome) *measured {
	return typ.measured.Get(o, func(receiver.Outcome) *measured {
		more := append(t.sourceAttribute(), keyOutcome.String(string(o)))
		m := &measured{record: []metric.RecordOption{metric.WithAttributeSet(t.With(more...))}}
		if typ.label != "" {
			more = append(more, keyType.String(typ.label))
		}
		m.count = []metric.AddOption{metric.WithAttributeSet(t.With(more...))}
		return m
	})
}

// followed is the context of a request with a span. End knows its own span by
// the type, since the context of a request may have that of middleware.
type followed struct {
	context.Context
	span trace.Span
	opts [2]trace.SpanStartOption // here, so that they need no allocation of their own
}

// Start begins the span of a verified request.
func (t *telemetry) Start(r *http.Request, _ *receiver.Delivery, began time.Time) context.Context {
	ctx, f := r.Context(), &followed{opts: [2]trace.SpanStartOption{trace.WithTimestamp(began), t.internal}}
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx = t.Propagator.Extract(ctx, otelsettings.Header{HeaderCarrier: propagation.HeaderCarrier(r.Header)})
		f.opts[1] = t.server
	}
	f.Context, f.span = t.tracer.Start(ctx, t.name, f.opts[:]...)
	return f
}

// End measures a request and ends its span.
func (t *telemetry) End(ctx context.Context, res receiver.Result) {
	m := t.measured(t.typeOf(res.Delivery), res.Outcome)
	t.requests.Add(ctx, 1, m.count...)
	t.duration.Record(ctx, res.Duration.Seconds(), m.record...)
	if res.BodySize > 0 {
		t.bodySize.Record(ctx, int64(res.BodySize), t.plain...)
	}
	if res.ClaimDuration > 0 {
		t.claim.Record(ctx, res.ClaimDuration.Seconds(), t.plain...)
	}
	if res.HandlerDuration > 0 {
		t.handler.Record(ctx, res.HandlerDuration.Seconds(), m.record...)
	}
	if f, ok := ctx.(*followed); ok {
		t.describe(f.span, &res)
		f.span.End()
	}
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
