package outbox

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/nilable"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// Telemetry follows the events and deliveries of an Outbox, for metrics and
// traces. Package oteloutbox implements it with OpenTelemetry. Its methods must
// be safe for concurrent use.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces.
type Telemetry interface {
	// Sender returns what follows the attempts. Its EndDelivery is not called.
	Sender() (sender.Telemetry, error)
	// StartPublish is called before an event is stored. It returns the trace of
	// the event, as text that is stored with it and given to each attempt
	// (sender.AttemptStart). A text with more than 512 bytes, or with anything
	// except visible ASCII, is not stored.
	StartPublish(ctx context.Context, app string, e *payload.Event) (started context.Context, trace string)
	// EndPublish is called with the result of [App.Publish] and the like. ctx is
	// the context that StartPublish returned.
	EndPublish(ctx context.Context, p Publication, err error)
	// EndDelivery is called when a delivery was delivered, or failed for good, or
	// when a worker found that it was canceled or superseded.
	EndDelivery(ctx context.Context, e Ending)
	// Close is called once, by [Outbox.Close].
	Close() error
}

// Ending says how a delivery ended.
type Ending struct {
	App, Endpoint, Delivery string
	Type                    payload.Type
	State                   State
	// Class is the kind of the last attempt's failure.
	Class sender.Class
}

const maxTrace = 512

// WithTelemetry sets what follows the events and deliveries. The constructor
// calls open with [Outbox.Stats], which fails until the constructor returns. An
// error of open is an error of the constructor. Default: none, which costs
// nothing. Nil is an error.
//
// Publishing and workers wait for its methods. One that hangs blocks them. A
// panic is contained, see [Outbox.Faults].
func WithTelemetry(open func(stats func(context.Context) (Stats, error)) (Telemetry, error)) Option {
	return optionFunc(func(c *config) {
		if open == nil {
			c.mistake("WithTelemetry", "the function is nil; leave it out")
		}
		c.openTelemetry = open
	})
}

// follower calls the telemetry of an outbox, unless it is nil.
type follower struct {
	telemetry Telemetry
	faults    *contain.Faults
	outbox    atomic.Pointer[Outbox] // nil until it is made
}

// newFollower opens what WithTelemetry was given.
func newFollower(c *config) (*follower, error) {
	if c.openTelemetry == nil {
		return nil, nil
	}
	f := &follower{faults: c.faults}
	stats := func(ctx context.Context) (Stats, error) { return f.outbox.Load().Stats(ctx) }
	var err error
	fault := c.faults.Call(context.Background(), inTelemetry, func() { f.telemetry, err = c.openTelemetry(stats) })
	switch {
	case fault != nil:
		return nil, fmt.Errorf("%w: WithTelemetry: the function %w", ErrConfig, fault)
	case err != nil:
		return nil, fmt.Errorf("%w: WithTelemetry: %w", ErrConfig, err)
	case nilable.IsNil(f.telemetry):
		return nil, fmt.Errorf("%w: WithTelemetry: the function returned neither a Telemetry nor an error", ErrConfig)
	}
	return f, nil
}

// begin lets the telemetry read figures.
func (f *follower) begin(o *Outbox) {
	if f != nil {
		f.outbox.Store(o)
	}
}

// option lets the telemetry follow the attempts.
func (f *follower) option() []sender.Option {
	if f == nil {
		return nil
	}
	return []sender.Option{sender.WithTelemetry(f.telemetry.Sender)}
}

// startPublish returns the context of a publication and its trace.
func (f *follower) startPublish(ctx context.Context, app string, e *payload.Event) (context.Context, string) {
	if f == nil || e == nil {
		return ctx, ""
	}
	var (
		started context.Context
		trace   string
	)
	fault := f.faults.Call(ctx, inTelemetry, func() { started, trace = f.telemetry.StartPublish(ctx, app, e) })
	if fault != nil || started == nil {
		return ctx, ""
	}
	if len(trace) > maxTrace || !visible(trace) {
		trace = ""
	}
	return started, trace
}

// visible reports whether a text is visible ASCII.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f {
			return false
		}
	}
	return true
}

func (f *follower) endPublish(ctx context.Context, p Publication, err error) {
	if f != nil {
		f.faults.Call(ctx, inTelemetry, func() { f.telemetry.EndPublish(ctx, p, err) })
	}
}

// endDelivery tells of a result that has ended a delivery.
func (f *follower) endDelivery(ctx context.Context, d *loaded, r *result) {
	if f == nil || !r.counted || r.state == Pending {
		return
	}
	e := Ending{App: d.app, Endpoint: d.endpoint, Delivery: d.id, Type: d.typ, State: r.state}
	if r.attempt != nil {
		e.Class = r.attempt.Class
	}
	f.faults.Call(ctx, inTelemetry, func() { f.telemetry.EndDelivery(ctx, e) })
}

func (f *follower) close() (err error) {
	if f == nil {
		return nil
	}
	if fault := f.faults.Call(context.Background(), inTelemetry, func() { err = f.telemetry.Close() }); fault != nil {
		return fmt.Errorf("outbox: WithTelemetry: closing it %w", fault)
	}
	return err
}
