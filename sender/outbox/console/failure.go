package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/deployhook/deployhook/sender/outbox"
)

// problem is a page that says why there is no other.
type problem struct {
	status int
	title  string
	Text   string
	Do     string
	Href   string // relative to the console's first page
	Link   string
}

// Error is for calls that fail before they reach the outbox.
func (p *problem) Error() string { return "console: " + p.title }

var (
	errUnknownPage     = &problem{status: 404, title: "Not found", Text: "There is no such page.", Do: "It may have been deleted, or the address is incomplete."}
	errMethod          = &problem{status: 405, title: "Not possible", Text: "This page can't be asked for like that.", Do: "Go back and use the button on the page."}
	errCrossOrigin     = &problem{status: 403, title: "Refused", Text: "The request came from a page of another site.", Do: "Open the console and do it there. Nothing was changed."}
	errUnauthenticated = &problem{status: 401, title: "Log in", Text: "You are not logged in.", Do: "Log in to the platform, and open this page again."}
	errForbidden       = &problem{status: 403, title: "No access", Text: "You have no access to webhooks.", Do: "Ask an administrator of your account for it."}
	errReadOnly        = &problem{status: 403, title: "Read only", Text: "You may read here, but not change anything.", Do: "Ask an administrator of your account. Nothing was changed."}
	errUnavailable     = &problem{status: 503, title: "Not available", Text: "The service can't answer now.", Do: "Try again in a minute. Deliveries go on meanwhile."}
	errTooMany         = &problem{status: 429, title: "Too many requests", Text: "Endpoints were checked too often in a short time.", Do: "Wait a minute, and try again. Nothing was changed."}
	errForm            = &problem{status: 400, title: "Not understood", Text: "The form could not be read.", Do: "Go back and send it again. A body may have up to 1 MiB."}
	errChanged         = &problem{status: 409, title: "Changed meanwhile", Text: "The endpoint has changed since you opened the form.", Do: "Look at it again, and decide anew. Nothing was changed."}
	errInternal        = &problem{status: 500, title: "Something went wrong", Text: "The service has failed. It was not your fault.", Do: "Try again. If it stays like this, tell the platform's support when it happened."}
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
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, outbox.ErrEndpointChanged):
		return errChanged
	case errors.Is(err, outbox.ErrFileInUse):
		return &problem{status: 503, title: "Erased", Text: "The event is erased, but its text is still in the database's file.", Do: "Erase it again in a minute."}
	case errors.Is(err, outbox.ErrClosed), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errUnavailable
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			return &problem{status: k.status, title: http.StatusText(k.status), Text: outbox.Problems(err)[0].Text, Do: k.do}
		}
	}
	return errInternal
}

// fail answers with the page of an error.
func (v *view) fail(err error) {
	p := *problemOf(err)
	if p.status >= http.StatusInternalServerError && v.ctx().Err() == nil && p.status != http.StatusServiceUnavailable {
		v.logger.ErrorContext(v.ctx(), "outbox console: a request failed", append(v.attrs(), slog.Any("error", err))...)
	}
	switch p.status {
	case http.StatusServiceUnavailable:
		v.w.Header().Set("Retry-After", "5")
	case http.StatusTooManyRequests:
		v.w.Header().Set("Retry-After", "60")
	}
	if p.status == http.StatusMethodNotAllowed {
		v.w.Header().Set("Allow", "GET, HEAD")
	}
	p.Href, p.Link = v.root, "Go to the first page"
	if v.app != nil {
		p.Href, p.Link = strings.TrimSuffix(v.base(), "/"), "Go to the endpoints"
	}
	shown := page{template: "failure.html", title: p.title, status: p.status, data: p}
	if v.access.App == "" && !v.access.Operator { // not known to have access
		shown.data = problem{Text: p.Text, Do: p.Do}
	}
	if err := v.render(shown); err != nil {
		http.Error(v.w, errInternal.Text, http.StatusInternalServerError)
	}
}
