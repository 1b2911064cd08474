package receiver

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/deployhook/deployhook/internal/loglimit"
	"github.com/deployhook/deployhook/payload"
)

// Outcome names the result of a request. The values are stable, so they can be
// metric labels.
type Outcome string

// The outcomes and the status of their answers.
const (
	// the handler succeeded: 200, or the status of a wrapped handler
	Handled Outcome = "handled"
	// the handler stored it for later (WithAccepted): 202
	Accepted  Outcome = "accepted"
	Duplicate Outcome = "duplicate" // handled before: 200
	Ignored   Outcome = "ignored"   // authentic, but not about a deployment: 200
	InFlight  Outcome = "in_flight" // another instance is handling it: 409
	// wrong method, content, size or speed: 405, 415, 413, 408, 400
	Refused         Outcome = "refused"
	Unauthenticated Outcome = "unauthenticated" // 401
	Invalid         Outcome = "invalid"         // authentic, but not a valid payload: 400
	// the handler returned an error or a status other than 2xx: 500, or that
	// status
	Failed   Outcome = "failed"
	Panicked Outcome = "panicked" // the handler panicked: 500
	// the store or the verifier is down, or the store is full: 503
	Unavailable Outcome = "unavailable"
)

// Result describes one request, for logs and metrics.
type Result struct {
	Outcome  Outcome
	Status   int           // status of the answer
	Duration time.Duration // from the first header to the answer
	// Err is the reason for an outcome that is not a success. It tells the
	// operator more than the answer tells the sender. It is also set for a
	// handled delivery whose handler returned an [Incomplete] error, and for an
	// ignored one.
	Err error
	// Delivery is nil if the request was not authenticated.
	Delivery *Delivery
	// BodySize is the number of bytes of the body. It is 0 if the request was
	// refused before its body was read.
	BodySize int
	// ClaimDuration is how long the store took to answer the claim, and
	// HandlerDuration how long the handler ran, from that answer on. A step that
	// did not happen has zero. Both are zero without [WithObserver] and
	// [WithTelemetry].
	ClaimDuration, HandlerDuration time.Duration

	ctx context.Context // of the telemetry, or nil
}

// report writes the log line and calls the observer, even if the logger panics.
func (rc *Receiver) report(r *http.Request, res *Result) {
	ctx := res.context(r)
	defer rc.endTelemetry(ctx, res)
	defer rc.observe(ctx, res)
	rc.warnOfDeadline()
	level := res.level()
	if !rc.logger.Enabled(ctx, level) {
		return
	}
	var left uint64
	if level >= slog.LevelWarn {
		var allowed bool
		if left, allowed = rc.lines.Allow(res.kind()); !allowed {
			return
		}
	}
	var room [12]slog.Attr // on the stack, because the logger copies the fields
	attrs := loglimit.Append(res.appendAttrs(room[:0], rc, r), left)
	rc.logger.LogAttrs(ctx, level, "webhook delivery", attrs...)
}

// kind is the kind of a limited line.
func (res *Result) kind() string { return string(res.Outcome) + " " + strconv.Itoa(res.Status) }

// tookEffect reports whether the handler did the delivery's work.
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
	case InFlight:
		if res.Err == nil {
			return slog.LevelInfo
		}
	case Failed:
		if res.Status >= 400 && res.Status <= 499 { // a wrapped handler that refuses the request
			return slog.LevelWarn
		}
		return slog.LevelError
	case Panicked, Unavailable:
		return slog.LevelError
	}
	return slog.LevelWarn
}

// appendAttrs appends the fields of the log line. For unauthenticated requests
// it uses only the error's text and the remote address.
func (res *Result) appendAttrs(attrs []slog.Attr, rc *Receiver, r *http.Request) []slog.Attr {
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

// appendDropped names the members that were left out of the record.
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
