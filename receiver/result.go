package receiver

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Outcome says in one word what became of a request. The texts are stable, fit for a metric's label.
type Outcome string

// The outcomes, each with the status it is answered with.
const (
	Handled         Outcome = "handled"         // the handler succeeded: 200, or what a wrapped handler wrote
	Accepted        Outcome = "accepted"        // stored by the handler, to be handled later (WithAccepted): 202
	Duplicate       Outcome = "duplicate"       // handled before: 200
	Ignored         Outcome = "ignored"         // authentic, but not about a deployment: 200
	InFlight        Outcome = "in_flight"       // being handled elsewhere: 409
	Refused         Outcome = "refused"         // method, content, size or speed: 405, 415, 413, 408, 400
	Unauthenticated Outcome = "unauthenticated" // 401
	Invalid         Outcome = "invalid"         // authentic, but not a valid payload: 400
	Failed          Outcome = "failed"          // the handler returned an error or a status other than 2xx: 500, or its own
	Panicked        Outcome = "panicked"        // the handler panicked: 500
	Unavailable     Outcome = "unavailable"     // the store, or the verifier's own source, is down or full: 503
)

// Result is what became of one request, for logs and metrics.
type Result struct {
	Outcome  Outcome
	Status   int           // of the answer
	Duration time.Duration // from the first header to the answer
	// Err is why, where the outcome is not a success. It tells the operator more
	// than the sender was told. A handled delivery has one only where its handler
	// returned an Incomplete, and an ignored one the reason.
	Err error
	// Delivery is nil unless the request was authentic.
	Delivery *Delivery
}

// report writes the one log line and calls the observer, also if the log has a
// fault.
func (rc *Receiver) report(r *http.Request, res *Result) {
	ctx := r.Context()
	defer rc.observe(ctx, res)
	rc.warnOfDeadline()
	if level := res.level(); rc.logger.Enabled(ctx, level) {
		rc.logger.LogAttrs(ctx, level, "webhook delivery", res.attrs(rc, r)...)
	}
}

// tookEffect reports that the handler did what the delivery asked for.
func (res *Result) tookEffect() bool {
	return res.Outcome == Handled || res.Outcome == Accepted || res.Outcome == Duplicate
}

func (res *Result) level() slog.Level {
	switch res.Outcome {
	case Handled, Accepted:
		if res.Err != nil {
			return slog.LevelError
		}
		return slog.LevelInfo
	case Duplicate, Ignored:
		return slog.LevelInfo
	case Failed:
		if res.Status >= 400 && res.Status <= 499 { // a wrapped handler that blames the peer
			return slog.LevelWarn
		}
		return slog.LevelError
	case Panicked, Unavailable:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// attrs are the fields of the log line. From an unauthenticated request only the error's own words and the peer's
// address are taken.
func (res *Result) attrs(rc *Receiver, r *http.Request) []slog.Attr {
	attrs := make([]slog.Attr, 0, 10)
	attrs = append(attrs,
		slog.String("outcome", string(res.Outcome)), slog.Int("status", res.Status), slog.Duration("duration", res.Duration))
	if rc.source != "" {
		attrs = append(attrs, slog.String("source", rc.source))
	}
	if d := res.Delivery; d != nil {
		if d.ID != "" {
			attrs = append(attrs, slog.String("id", d.ID))
		}
		attrs = append(attrs, slog.String("key", d.Key))
		if d.Principal != "" {
			attrs = append(attrs, slog.String("principal", d.Principal))
		}
		if d.Event != nil {
			attrs = append(attrs, slog.String("type", string(d.Event.Type)), slog.String("deployment_id", d.Event.DeploymentID))
			attrs = appendDropped(attrs, d.Event.Dropped)
		}
		if d.Deployment != nil {
			attrs = append(attrs, slog.String("deployment_id", d.Deployment.DeploymentID),
				slog.String("deployment_status", string(d.Deployment.Status)))
			attrs = appendDropped(attrs, d.Deployment.Dropped)
		}
		attrs = append(attrs, d.attrs...)
	} else {
		attrs = append(attrs, slog.String("remote", r.RemoteAddr))
	}
	if res.Err != nil {
		attrs = append(attrs, slog.String("error", res.Err.Error()))
	}
	return attrs
}

// appendDropped names the members that the record is kept without.
func appendDropped(attrs []slog.Attr, dropped []payload.Failure) []slog.Attr {
	if len(dropped) == 0 {
		return attrs
	}
	texts := make([]string, len(dropped))
	for i, failure := range dropped {
		texts[i] = failure.String()
	}
	return append(attrs, slog.String("dropped", strings.Join(texts, "; ")))
}
