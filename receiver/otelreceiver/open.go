package otelreceiver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
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
		t := &telemetry{Settings: s, source: source, name: "receive " + source, tracer: s.Tracers.Tracer(scope)}
		if source == "" {
			t.name = "receive"
		}
		return t, t.instruments()
	}
}

// telemetry follows the requests of one receiver.
type telemetry struct {
	*otelsettings.Settings

	source, name string
	tracer       trace.Tracer
	requests     metric.Int64Counter
	duration     metric.Float64Histogram
	bodySize     metric.Int64Histogram
	claim        metric.Float64Histogram
	handler      metric.Float64Histogram

	plain   []metric.RecordOption // with the source only
	byLabel sync.Map              // of *measured by labels, whose number is bounded
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

// labels tell the series of one receiver apart.
type labels struct {
	outcome receiver.Outcome
	typ     string
}

// measured has the options of measurements, which are made once.
type measured struct {
	count  []metric.AddOption
	record []metric.RecordOption
}

func (t *telemetry) measured(l labels) *measured {
	if m, ok := t.byLabel.Load(l); ok {
		return m.(*measured)
	}
	more := append(t.sourceAttribute(), keyOutcome.String(string(l.outcome)))
	m := &measured{record: []metric.RecordOption{metric.WithAttributeSet(t.With(more...))}}
	if l.typ != "" {
		more = append(more, keyType.String(l.typ))
	}
	m.count = []metric.AddOption{metric.WithAttributeSet(t.With(more...))}
	kept, _ := t.byLabel.LoadOrStore(l, m)
	return kept.(*measured)
}

// followed is the context of a request with a span. End knows its own span by
// the type, since the context of a request may have that of middleware.
type followed struct {
	context.Context
	span trace.Span
}

// Start begins the span of a verified request.
func (t *telemetry) Start(r *http.Request, _ *receiver.Delivery, began time.Time) context.Context {
	ctx, kind := r.Context(), trace.SpanKindInternal
	if !trace.SpanContextFromContext(ctx).IsValid() {
		ctx, kind = t.Propagator.Extract(ctx, propagation.HeaderCarrier(r.Header)), trace.SpanKindServer
	}
	ctx, span := t.tracer.Start(ctx, t.name, trace.WithTimestamp(began), trace.WithSpanKind(kind))
	return &followed{ctx, span}
}

// End measures a request and ends its span.
func (t *telemetry) End(ctx context.Context, res receiver.Result) {
	m := t.measured(labels{res.Outcome, t.typeOf(res.Delivery)})
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

// typeOf returns the label of an event's type, or nothing if there is no event.
func (t *telemetry) typeOf(d *receiver.Delivery) string {
	if d == nil || d.Event == nil {
		return ""
	}
	return t.Type(string(d.Event.Type))
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
