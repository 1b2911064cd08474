package otelinbox

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
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
)

const scope = "github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"

// Open returns the value of inbox.WithTelemetry. Mistakes in options are errors
// of the inbox's constructor.
func Open(opts ...otelreceiver.Option) func(backlog func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error) {
	return func(backlog func(context.Context) (inbox.Backlog, error)) (inbox.Telemetry, error) {
		s, err := otelsettings.New(opts)
		if err != nil {
			return nil, fmt.Errorf("otelinbox: %w", err)
		}
		t := &telemetry{Settings: s, receivers: otelreceiver.Open(opts...), tracer: s.Tracers.Tracer(scope)}
		m := s.Meters.Meter(scope)
		if err := t.instruments(m); err != nil {
			return nil, err
		}
		t.gauges, err = newGauges(s, m, backlog)
		if err != nil {
			return nil, err
		}
		return t, nil
	}
}

// telemetry follows the deliveries of one inbox.
type telemetry struct {
	*otelsettings.Settings
	*gauges

	receivers func(source string) (receiver.Telemetry, error)
	tracer    trace.Tracer
	attempts  metric.Int64Counter
	duration  metric.Float64Histogram
	byLabel   sync.Map // of options by labels, whose number is bounded
}

func (t *telemetry) instruments(m metric.Meter) error {
	var errs [2]error
	t.attempts, errs[0] = m.Int64Counter("deployhook.inbox.attempts", metric.WithUnit("{attempt}"),
		metric.WithDescription("Attempts that have ended, and deliveries that needed none."))
	t.duration, errs[1] = m.Float64Histogram("messaging.process.duration", metric.WithUnit("s"), otelsettings.Durations,
		metric.WithDescription("Time that handlers took."))
	return errors.Join(errs[:]...)
}

// Receiver follows the requests of a handler.
func (t *telemetry) Receiver(source string) (receiver.Telemetry, error) { return t.receivers(source) }

// Trace returns the traceparent of the request's span.
func (t *telemetry) Trace(ctx context.Context) string { return otelsettings.Trace(ctx) }

// attempt is the context of a handler. It has what EndHandler needs.
type attempt struct {
	context.Context
	span   trace.Span
	source string
}

// StartHandler begins the span of an attempt.
func (t *telemetry) StartHandler(ctx context.Context, stored string, d inbox.Delivery, number int) context.Context {
	ctx, span := t.tracer.Start(otelsettings.Continue(ctx, stored), "process "+d.Source, trace.WithSpanKind(trace.SpanKindConsumer))
	if span.IsRecording() {
		span.SetAttributes(t.Attributes...)
		span.SetAttributes(
			attribute.String("messaging.system", "deployhook"), attribute.String("messaging.operation.name", "process"),
			attribute.String("messaging.operation.type", "process"), attribute.String("messaging.destination.name", d.Source),
			attribute.String("deployhook.event.type", string(d.Type)), attribute.String("deployhook.deployment.id", d.DeploymentID),
			attribute.Int64("deployhook.inbox.id", d.ID), attribute.Int("deployhook.attempt.number", number))
		if d.DeliveryID != "" {
			span.SetAttributes(attribute.String("messaging.message.id", d.DeliveryID))
		}
	}
	return &attempt{ctx, span, d.Source}
}

// EndHandler ends the span of an attempt.
func (t *telemetry) EndHandler(ctx context.Context, took time.Duration, err error) {
	a, ok := ctx.(*attempt)
	if !ok {
		return
	}
	kind := errorType(err)
	t.duration.Record(ctx, took.Seconds(), t.processed(a.source, kind)...)
	if kind != "" {
		a.span.SetAttributes(attribute.String("error.type", kind))
		a.span.SetStatus(codes.Error, "the handler failed")
	}
	a.span.End()
}

func errorType(err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(err, inbox.ErrTimeout), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	}
	return "_OTHER"
}

// End counts a result.
func (t *telemetry) End(ctx context.Context, r inbox.Result) {
	t.attempts.Add(ctx, 1, t.ended(r.Delivery.Source, string(r.State), t.Type(string(r.Delivery.Type)))...)
}

type processLabels struct{ source, kind string }

func (t *telemetry) processed(source, kind string) []metric.RecordOption {
	key := processLabels{source, kind}
	if o, ok := t.byLabel.Load(key); ok {
		return o.([]metric.RecordOption)
	}
	all := []attribute.KeyValue{
		attribute.String("messaging.system", "deployhook"), attribute.String("messaging.operation.name", "process"),
		attribute.String("messaging.destination.name", source),
	}
	if kind != "" {
		all = append(all, attribute.String("error.type", kind))
	}
	o, _ := t.byLabel.LoadOrStore(key, []metric.RecordOption{metric.WithAttributeSet(t.With(all...))})
	return o.([]metric.RecordOption)
}

type attemptLabels struct{ source, state, typ string }

func (t *telemetry) ended(source, state, typ string) []metric.AddOption {
	key := attemptLabels{source, state, typ}
	if o, ok := t.byLabel.Load(key); ok {
		return o.([]metric.AddOption)
	}
	o, _ := t.byLabel.LoadOrStore(key, []metric.AddOption{metric.WithAttributeSet(t.With(attribute.String("deployhook.source", source),
		attribute.String("deployhook.state", state), attribute.String("deployhook.event.type", typ)))})
	return o.([]metric.AddOption)
}
