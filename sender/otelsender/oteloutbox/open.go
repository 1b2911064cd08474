package oteloutbox

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/outbox"
)

const scope = "github.com/deployhook/deployhook/sender/otelsender/oteloutbox"

const (
	keyState = attribute.Key("deployhook.state")
	keyType  = attribute.Key("deployhook.event.type")
	keyError = attribute.Key("error.type")
)

// Open returns the value of outbox.WithTelemetry. Mistakes in options are
// errors of the outbox's constructor.
func Open(opts ...otelsender.Option) func(stats func(context.Context) (outbox.Stats, error)) (outbox.Telemetry, error) {
	return func(stats func(context.Context) (outbox.Stats, error)) (outbox.Telemetry, error) {
		s, err := otelsettings.New(opts)
		if err != nil {
			return nil, fmt.Errorf("oteloutbox: %w", err)
		}
		t := &telemetry{Settings: s, sender: otelsender.Open(opts...), tracer: s.Tracers.Tracer(scope), names: s.Names("publish")}
		m := s.Meters.Meter(scope)
		if err := t.instruments(m); err != nil {
			return nil, fmt.Errorf("oteloutbox: %w", err)
		}
		if t.gauges, err = newGauges(s, m, stats); err != nil {
			return nil, fmt.Errorf("oteloutbox: %w", err)
		}
		return t, nil
	}
}

// telemetry follows the events and deliveries of one outbox.
type telemetry struct {
	*otelsettings.Settings
	*gauges

	sender     func() (sender.Telemetry, error)
	tracer     trace.Tracer
	names      otelsettings.ByType[string]
	publishing metric.Float64Histogram
	deliveries metric.Int64Counter
	byLabel    sync.Map // of options by labels, whose number is bounded
}

func (t *telemetry) instruments(m metric.Meter) error {
	var errs [2]error
	t.publishing, errs[0] = m.Float64Histogram("messaging.client.operation.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time that publications took."))
	t.deliveries, errs[1] = m.Int64Counter("deployhook.outbox.deliveries", metric.WithUnit("{delivery}"),
		metric.WithDescription("Deliveries that have ended."))
	return errors.Join(errs[:]...)
}

// Sender follows the attempts.
func (t *telemetry) Sender() (sender.Telemetry, error) { return t.sender() }

// publication is the context of a publication with its span.
type publication struct {
	context.Context
	span  trace.Span
	began time.Time
}

// StartPublish begins the span of a publication.
func (t *telemetry) StartPublish(ctx context.Context, app string, e *payload.Event) (context.Context, string) {
	began := time.Now()
	ctx, span := t.tracer.Start(ctx, t.names.Of(string(e.Type)), trace.WithSpanKind(trace.SpanKindProducer), trace.WithTimestamp(began))
	if span.IsRecording() {
		span.SetAttributes(t.Attributes...)
		span.SetAttributes(
			attribute.String("messaging.system", "deployhook"), attribute.String("messaging.operation.name", "publish"),
			attribute.String("messaging.operation.type", "send"), attribute.String("deployhook.app", app),
			keyType.String(string(e.Type)), attribute.String("deployhook.deployment.id", e.DeploymentID))
	}
	return &publication{ctx, span, began}, otelsettings.Trace(ctx)
}

// EndPublish ends the span of a publication.
func (t *telemetry) EndPublish(ctx context.Context, p outbox.Publication, err error) {
	own, ok := ctx.(*publication)
	if !ok {
		return
	}
	kind := errorType(err)
	t.publishing.Record(ctx, time.Since(own.began).Seconds(), t.published(kind)...)
	if own.span.IsRecording() {
		if p.EventID != "" {
			own.span.SetAttributes(attribute.String("messaging.message.id", p.EventID), attribute.Int("deployhook.deliveries", len(p.Deliveries)),
				attribute.Bool("deployhook.duplicate", p.Duplicate))
		}
		if kind != "" {
			own.span.SetAttributes(keyError.String(kind))
			own.span.SetStatus(codes.Error, kind)
		}
	}
	own.span.End()
}

func errorType(err error) string {
	_, invalid := errors.AsType[*payload.ValidationError](err)
	switch {
	case err == nil:
		return ""
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "canceled"
	case errors.Is(err, outbox.ErrConflict):
		return "conflict"
	case errors.Is(err, outbox.ErrUnknownApp):
		return "unknown_app"
	case invalid, errors.Is(err, outbox.ErrInvalid):
		return "invalid"
	}
	return "store"
}

// publishedLabel tells the series of publications apart.
type publishedLabel string

func (t *telemetry) published(kind string) []metric.RecordOption {
	if o, ok := t.byLabel.Load(publishedLabel(kind)); ok {
		return o.([]metric.RecordOption)
	}
	all := []attribute.KeyValue{attribute.String("messaging.system", "deployhook"), attribute.String("messaging.operation.name", "publish")}
	if kind != "" {
		all = append(all, keyError.String(kind))
	}
	o, _ := t.byLabel.LoadOrStore(publishedLabel(kind), []metric.RecordOption{metric.WithAttributeSet(t.With(all...))})
	return o.([]metric.RecordOption)
}

// endLabels tell the series of deliveries apart.
type endLabels struct {
	state outbox.State
	class sender.Class
	typ   string
}

// EndDelivery counts a delivery.
func (t *telemetry) EndDelivery(ctx context.Context, e outbox.Ending) {
	t.deliveries.Add(ctx, 1, t.ended(endLabels{e.State, e.Class, t.Type(string(e.Type))})...)
}

func (t *telemetry) ended(l endLabels) []metric.AddOption {
	if o, ok := t.byLabel.Load(l); ok {
		return o.([]metric.AddOption)
	}
	all := []attribute.KeyValue{keyState.String(string(l.state)), keyType.String(l.typ)}
	if l.class != sender.ClassNone {
		all = append(all, keyError.String(string(l.class)))
	}
	o, _ := t.byLabel.LoadOrStore(l, []metric.AddOption{metric.WithAttributeSet(t.With(all...))})
	return o.([]metric.AddOption)
}
