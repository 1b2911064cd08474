package outbox

import (
	"context"
	"log/slog"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// NoticeKind is the kind of a [Notice].
type NoticeKind string

// The kinds of notices.
const (
	// NoticeAttempt says that an attempt has ended. Attempt is its record. State is
	// that of the delivery, which may have been replayed or have ended meanwhile.
	NoticeAttempt NoticeKind = "attempt"
	// NoticeDone says that a delivery was delivered or is a dead letter, as State
	// says.
	NoticeDone NoticeKind = "delivery"
	// NoticeFailing says that an endpoint has used up a delivery's attempts, or
	// failed for an hour.
	NoticeFailing NoticeKind = "endpoint.failing"
	// NoticeDisabling says that an endpoint has failed for 50 or 80 % of the time
	// after which it is disabled, see [WithDisableAfter].
	NoticeDisabling NoticeKind = "endpoint.disabling"
	// NoticeRecovered says that an endpoint that was failing has accepted a
	// delivery.
	NoticeRecovered NoticeKind = "endpoint.recovered"
	// NoticeDisabled says that an endpoint was disabled. Reason says why.
	NoticeDisabled NoticeKind = "endpoint.disabled"
)

// Types of the events that [Notice.Event] returns. An endpoint that is disabled
// causes an event of type [EventEndpointDisabled] without the application.
const (
	EventEndpointFailing   payload.Type = "endpoint.failing"
	EventEndpointDisabling payload.Type = "endpoint.disabling"
	EventEndpointRecovered payload.Type = "endpoint.recovered"
)

// Notice tells a [WithHook] function what happened.
type Notice struct {
	Kind          NoticeKind
	App, Endpoint string
	// Delivery, Type and State are set for NoticeAttempt and NoticeDone.
	Delivery string
	Type     payload.Type
	State    State
	// Attempt is set for NoticeAttempt. Do not change what it refers to.
	Attempt *sender.Attempt
	// Reason is set for endpoints.
	Reason string
	// Failure is set for endpoints. It is the current run of failures, or the one
	// that has ended. It is nil if a caller disabled the endpoint.
	Failure *Failure
}

// Failure describes a run of failed attempts to one endpoint. Each notice about
// it is given once, no matter how many processes there are and how often they
// start again.
type Failure struct {
	// Since is when the first attempt failed after which none has succeeded.
	Since time.Time
	// FirstError and LastError are for the operator. LastError is empty for
	// NoticeRecovered.
	FirstError, LastError string
	// Class is that of the last error, and Problem what a customer may see of it.
	Class   sender.Class
	Problem sender.Problem
	// Waiting is the number of pending deliveries. For NoticeDisabled they are
	// canceled.
	Waiting Count
	// Percent is how much of the time has passed after which the endpoint is
	// disabled, and DisableAt its end. They are zero if [WithDisableAfter] is off.
	Percent   int
	DisableAt time.Time
	// Next says what to do, in one sentence that a customer may see.
	Next string
}

// nextSteps are the sentences of Failure.Next.
var nextSteps = map[NoticeKind]string{
	NoticeFailing:   "Check the endpoint and its last answer; send the deliveries again that have used up their attempts.",
	NoticeDisabling: "Repair the endpoint, or change its URL; it is disabled unless it accepts a delivery before.",
	NoticeDisabled:  "Repair the endpoint, enable it, and send the events that it has missed.",
	NoticeRecovered: "Nothing; deliveries that have used up their attempts can be replayed.",
}

// Event returns an event that tells the app about its endpoint, for
// [App.Publish]. It has nothing that a customer must not see. It returns nil
// for other notices, and for NoticeDisabled, whose event the outbox publishes
// itself. Publish it with [WithEventID] and the notice's Kind, Endpoint,
// Failure.Since and Percent as the ID if the hook may run again after a crash.
func (n Notice) Event() *payload.Event {
	types := map[NoticeKind]payload.Type{
		NoticeFailing: EventEndpointFailing, NoticeDisabling: EventEndpointDisabling, NoticeRecovered: EventEndpointRecovered,
	}
	t, ok := types[n.Kind]
	if !ok || n.Failure == nil {
		return nil
	}
	f := n.Failure
	about := map[string]any{
		"id": n.Endpoint, "since": f.Since.UTC().Format(time.RFC3339), "waiting": f.Waiting.String(), "next": f.Next,
	}
	if f.Problem.Code != "" {
		about["problem"], about["problem_text"] = f.Problem.Code, f.Problem.Text
	}
	if !f.DisableAt.IsZero() && n.Kind != NoticeRecovered {
		about["disable_at"], about["percent"] = f.DisableAt.UTC().Format(time.RFC3339), f.Percent
	}
	e := &payload.Event{Type: t, Timestamp: time.Now().UTC().Truncate(time.Millisecond), DeploymentID: n.Endpoint, App: n.App}
	_ = e.Extra.Set("endpoint", about) // these values always have a JSON form
	return e
}

// attrs returns the fields of the log line.
func (n *Notice) attrs() []slog.Attr {
	attrs := []slog.Attr{slog.String("app", n.App), slog.String("endpoint", n.Endpoint)}
	if n.Reason != "" {
		attrs = append(attrs, slog.String("reason", n.Reason))
	}
	f := n.Failure
	if f == nil {
		return attrs
	}
	attrs = append(attrs, slog.Time("since", f.Since), slog.String("waiting", f.Waiting.String()), slog.String("first_error", f.FirstError))
	if f.LastError != "" {
		attrs = append(attrs, slog.String("class", string(f.Class)), slog.String("last_error", f.LastError))
	}
	if !f.DisableAt.IsZero() {
		attrs = append(attrs, slog.Int("percent", f.Percent), slog.Time("disabled_at", f.DisableAt))
	}
	return append(attrs, slog.String("next", f.Next))
}

// describe returns the current run of failures of an endpoint. What can't be
// read is left out, since the notice matters more.
func (h *health) describe(ctx context.Context, kind NoticeKind, d *loaded, r *result) *Failure {
	f := &Failure{Since: d.failingSince, Next: nextSteps[kind]}
	if f.Since.IsZero() {
		f.Since = r.failingSince
	}
	if a := r.attempt; a != nil && a.Err != nil {
		f.LastError, f.Class, f.Problem = newAttemptRow(a).errText, a.Class, a.Problem()
	}
	if h.disableAfter > 0 && !f.Since.IsZero() {
		f.DisableAt = f.Since.Add(h.disableAfter)
		f.Percent = min(int(100*time.Since(f.Since)/h.disableAfter), 100)
	}
	err := h.db.Reader().QueryRow(ctx, `SELECT first_error, (SELECT count(*) FROM
		(SELECT 1 FROM {schema}outbox_delivery WHERE endpoint = e.id AND state = 'pending' LIMIT ?) AS waiting)
		FROM {schema}outbox_endpoint e WHERE id = ?`, MaxCount+1, d.endpoint).Scan(&f.FirstError, &f.Waiting.N)
	if err != nil {
		h.logger.WarnContext(ctx, "outbox: describing a failing endpoint", slog.String("endpoint", d.endpoint), slog.Any("error", err))
	}
	if f.Waiting.N > MaxCount {
		f.Waiting = Count{N: MaxCount, More: true}
	}
	return f
}
