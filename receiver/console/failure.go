package console

import (
	"context"
	"errors"
	"log/slog"
	"net/http"

	"github.com/deployhook/deployhook/internal/webui"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/inbox"
)

var (
	errUnauthenticated     = &webui.Problem{Status: 401, Title: "Log in", Text: "You are not logged in.", Do: "Log in to the service, and open this page again."}
	errForbidden           = &webui.Problem{Status: 403, Title: "No access", Text: "You have no access to received webhooks.", Do: "Ask an administrator of the service for it."}
	errNothing             = &webui.Problem{Status: 403, Title: "No access", Text: "You have access to no organization.", Do: "Ask an administrator of the service for one."}
	errUnknownOrganization = &webui.Problem{Status: 404, Title: "Not found", Text: "There is no such organization, or you have no access to it.", Do: "Go back to where you came from."}
	errUnavailable         = &webui.Problem{Status: 503, Title: "Not available", Text: "The service can't answer now.", Do: "Try again in a minute. Deliveries are received meanwhile."}
	errSlow                = &webui.Problem{Status: 503, Title: "Not available", Text: "The database did not answer in time.", Do: "Try again in a minute. If it stays like this, look at the database."}
	errInternal            = &webui.Problem{Status: 500, Title: "Something went wrong", Text: "The page could not be made.", Do: "Try again. If it stays like this, the service's log says what failed."}
)

// failures are the pages for errors of the sources.
var failures = []struct {
	is       error
	status   int
	text, do string
}{
	{inbox.ErrNotFound, 404, "There is no such delivery.", "Handled deliveries are deleted after some time."},
	{inbox.ErrPending, 409, "The delivery is pending already.", "Wait for its next attempt. Nothing was changed."},
	{inbox.ErrInvalid, 422, "There is no such page of the list.", "Begin again with the first page."},
	{deployments.ErrNotRecorded, 404, "There is no such deployment.", "It may belong to another organization, or was never reported."},
	{deployments.ErrInvalid, 422, "There is no such page of the list.", "Begin again with the first page."},
}

// problemOf returns what the viewer is told about an error.
func problemOf(err error) *webui.Problem {
	if p, ok := errors.AsType[*webui.Problem](err); ok {
		return p
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return errSlow
	case errors.Is(err, inbox.ErrClosed), errors.Is(err, deployments.ErrClosed), errors.Is(err, context.Canceled):
		return errUnavailable
	}
	for _, k := range failures {
		if errors.Is(err, k.is) {
			return &webui.Problem{Status: k.status, Title: http.StatusText(k.status), Text: k.text, Do: k.do}
		}
	}
	return errInternal
}

// fail answers with the page of an error.
func (v *view) fail(err error) {
	p := *problemOf(err)
	if p.Status >= http.StatusInternalServerError && v.ctx().Err() == nil && p.Text != errUnavailable.Text {
		v.logger.ErrorContext(v.ctx(), "receiver console: a request failed", append(v.attrs(), slog.Any("error", err))...)
	}
	p.SetHeaders(v.w.Header())
	if v.access.Read {
		p.Href, p.Link = v.root, "Go to the first page"
	}
	if err := v.render(page{template: "failure.html", title: p.Title, status: p.Status, data: p}); err != nil {
		http.Error(v.w, errInternal.Text, http.StatusInternalServerError)
	}
}
