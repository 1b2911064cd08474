package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/sender/outbox"
)

var (
	errUnauthenticated = &webui.Problem{Status: 401, Title: "Log in", Text: "You are not logged in.", Do: "Log in to the platform, and open this page again."}
	errForbidden       = &webui.Problem{Status: 403, Title: "No access", Text: "You have no access to webhooks.", Do: "Ask an administrator of your account for it."}
	errUnavailable     = &webui.Problem{Status: 503, Title: "Not available", Text: "The service can't answer now.", Do: "Try again in a minute. Deliveries go on meanwhile."}
	errTooMany         = &webui.Problem{Status: 429, Title: "Too many requests", Text: "Endpoints were checked too often in a short time.", Do: "Wait a minute, and try again. Nothing was changed."}
	errChanged         = &webui.Problem{Status: 409, Title: "Changed meanwhile", Text: "The endpoint has changed since you opened the form.", Do: "Look at it again, and decide anew. Nothing was changed."}
	errInternal        = &webui.Problem{Status: 500, Title: "Something went wrong", Text: "The service has failed. It was not your fault.", Do: "Try again. If it stays like this, tell the platform's support when it happened."}
)

// kinds are the pages for errors of the outbox.
var kinds = []struct {
	is     error
	status int
	do     string
}{
	{outbox.ErrUnknownApp, 404, "Go back to where you came from."},
	{outbox.ErrUnknownEndpoint, 404, "It may have been deleted. Its deliveries stay in the log for some time."},
	{outbox.ErrUnknownDelivery, 404, "Old deliveries are deleted after some time."},
	{outbox.ErrUnknownEvent, 404, "Old events are deleted after some time."},
	{outbox.ErrUnknownReplay, 404, "Old replays are forgotten after some time."},
	{outbox.ErrEndpointDisabled, 409, "Enable it, and send the delivery again."},
	{outbox.ErrDuplicateEndpoint, 409, "Change the existing endpoint instead."},
	{outbox.ErrTooManyEndpoints, 409, "Delete one that you no longer need."},
	{outbox.ErrInvalid, 422, "Go back and correct it. Nothing was changed."},
}

// problemOf returns what the viewer is told about an error.
func problemOf(err error) *webui.Problem {
	if p, ok := errors.AsType[*webui.Problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, outbox.ErrEndpointChanged):
		return errChanged
	case errors.Is(err, outbox.ErrFileInUse):
		return &webui.Problem{Status: 503, Title: "Erased", Text: "The event is erased, but its text is still in the database's file.", Do: "Erase it again in a minute."}
	case errors.Is(err, outbox.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errUnavailable
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &webui.Problem{Status: k.status, Title: http.StatusText(k.status), Text: outbox.Problems(err)[0].Text, Do: k.do}
		}
	}
	return errInternal
}

// fail answers with the page of an error.
func (v *view) fail(err error) {
	p := *problemOf(err)
	if p.Status >= http.StatusInternalServerError && v.ctx().Err() == nil && p.Status != http.StatusServiceUnavailable {
		v.logger.ErrorContext(v.ctx(), "outbox console: a request failed", append(v.attrs(), slog.Any("error", err))...)
	}
	p.SetHeaders(v.w.Header())
	p.Href, p.Link = v.root, "Go to the first page"
	if v.app != nil {
		p.Href, p.Link = strings.TrimSuffix(v.base(), "/"), "Go to the endpoints"
	}
	shown := page{template: "failure.html", title: p.Title, status: p.Status, data: p}
	if v.access.App == "" && !v.access.Operator { // not known to have access
		shown.data = webui.Problem{Text: p.Text, Do: p.Do}
	}
	if err := v.render(shown); err != nil {
		http.Error(v.w, errInternal.Text, http.StatusInternalServerError)
	}
}
