package receiver

import (
	"context"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/nilable"
)

// Telemetry follows the requests of a Receiver, for metrics and traces. The
// module receiver/otelreceiver implements it with OpenTelemetry. Its methods
// must be safe for concurrent use and must not keep their arguments.
//
// The interface is frozen: it gets no further method. Further abilities become
// optional interfaces.
type Telemetry interface {
	// Start is called when a request is verified, before its body is decoded.
	// The request began at the given time. The handler, the log line and End
	// get the returned context, which must be derived from the request's.
	Start(r *http.Request, d *Delivery, began time.Time) context.Context
	// End is called after the answer of every request. For a request that was
	// not verified there was no Start, and ctx is the request's.
	End(ctx context.Context, res Result)
}

// WithTelemetry sets what follows the requests. [New] calls open with the
// source of [WithDedupe], which is empty with [InsecureNoDedupe]. An error of
// open is an error of New. Default: none, which costs nothing. A nil function
// is an error.
//
// The methods of the Telemetry run on the request's goroutine. Start delays the
// answer, and End does not if the ResponseWriter can flush. One that hangs
// keeps the goroutine and the connection. A panic is contained, see
// [Receiver.Faults].
func WithTelemetry(open func(source string) (Telemetry, error)) Option {
	return optionFunc(func(c *config) { c.openTelemetry, c.telemetryGiven = open, true })
}

// startTelemetry opens what WithTelemetry was given.
func (c *config) startTelemetry() error {
	if !c.telemetryGiven {
		return nil
	}
	if c.openTelemetry == nil {
		return configError("WithTelemetry: the function is nil; leave it out")
	}
	var (
		t   Telemetry
		err error
	)
	if fault := c.faults.Call(context.Background(), inTelemetry, func() { t, err = c.openTelemetry(c.source) }); fault != nil {
		return configError("WithTelemetry: the function %w", fault)
	}
	if err != nil {
		return configError("WithTelemetry: %w", err)
	}
	if nilable.IsNil(t) {
		return configError("WithTelemetry: the function returned neither a Telemetry nor an error")
	}
	c.telemetry = t
	return nil
}

// measures reports whether the durations of a Result are measured.
func (rc *Receiver) measures() bool { return rc.telemetry != nil || rc.observer != nil }

// claimed notes when the store has answered. It reads the clock only if that
// time is needed.
func (rc *Receiver) claimed(d *Delivery, asked time.Time, res *Result) grant {
	g := grant{asked: asked}
	if rc.measures() || d.Claim.State == dedupe.Claimed {
		g.took = time.Since(asked)
	}
	if rc.measures() {
		res.ClaimDuration = g.took
	}
	return g
}

// ran notes how long a handler with a claim ran.
func (rc *Receiver) ran(res *Result, g grant, ended time.Time) {
	if rc.measures() {
		res.HandlerDuration = ended.Sub(g.at())
	}
}

// follow returns the context of the telemetry, or that of the request.
func (rc *Receiver) follow(r *http.Request, d *Delivery, began time.Time, res *Result) context.Context {
	if rc.telemetry == nil {
		return r.Context()
	}
	var ctx context.Context
	fault := rc.faults.Inline(r.Context(), inTelemetry, func() { ctx = rc.telemetry.Start(r, d, began) })
	if fault != nil || ctx == nil {
		return r.Context()
	}
	res.ctx = ctx
	return ctx
}

// context returns the context in which a result is reported.
func (res *Result) context(r *http.Request) context.Context {
	if res.ctx != nil {
		return res.ctx
	}
	return r.Context()
}

func (rc *Receiver) endTelemetry(ctx context.Context, res *Result) {
	if rc.telemetry != nil {
		rc.faults.Inline(ctx, inTelemetry, func() { rc.telemetry.End(ctx, *res) })
	}
}
