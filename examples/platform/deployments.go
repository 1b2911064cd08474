package main

import (
	"context"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

func (p *platform) sources(*http.Request) (int, any, error) {
	return http.StatusOK, map[string][]string{"sources": engine.Sources()}, nil
}

// plainName is the form of the names of apps that can be deployed and of
// tokens.
var plainName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)

// deploymentID matches the IDs of payload.NewDeploymentID.
var deploymentID = regexp.MustCompile(`^dep_[0-9a-f]{1,64}$`)

// app returns the app in the path, if it is registered. Its name is part of a
// host's paths, so the platform allows less than the outbox.
func (p *platform) app(r *http.Request) (string, error) {
	name := r.PathValue("app")
	if !plainName.MatchString(name) {
		return "", outbox.ErrUnknownApp
	}
	_, err := p.outbox.App(name).Endpoints(r.Context())
	return name, err
}

// apps returns the names of all apps.
func (p *platform) apps(ctx context.Context) (names []string, err error) {
	for page := (outbox.Page{Limit: outbox.MaxPageLimit}); ; {
		apps, err := p.outbox.Apps(ctx, page)
		if err != nil {
			return nil, err
		}
		names = append(names, apps.Items...)
		if page.Cursor = apps.Next; page.Cursor == "" {
			return names, nil
		}
	}
}

func (p *platform) deploy(r *http.Request) (int, any, error) {
	in, err := read[struct {
		Source      string         `json:"source"`
		Version     string         `json:"version"`
		Environment string         `json:"environment"`
		TriggeredBy string         `json:"triggered_by"`
		Commit      *engine.Commit `json:"commit"`
		Health      float64        `json:"health_timeout_seconds"`
		Watch       float64        `json:"watch_seconds"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	name, err := p.app(r)
	if err != nil {
		return 0, nil, err
	}
	request := engine.Request{
		App: name, Source: in.Source, Version: in.Version, Environment: in.Environment, TriggeredBy: in.TriggeredBy,
		HealthTimeout: seconds(in.Health), Watch: seconds(in.Watch),
	}
	if c := in.Commit; c != nil {
		request.Commit = &payload.Commit{SHA: c.SHA, Message: c.Message, Author: c.Author, Branch: c.Branch}
	}
	d, err := p.engine.Deploy(r.Context(), request)
	return http.StatusAccepted, d, err
}

// seconds converts a number to a duration. Those that no duration can have
// become a negative one, which the engine refuses.
func seconds(f float64) time.Duration {
	const most = 365 * 24 * 3600
	if !(f >= 0 && f <= most) {
		return -1
	}
	return time.Duration(f * float64(time.Second))
}

func (p *platform) getDeployment(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if !deploymentID.MatchString(id) { // PostgreSQL refuses some texts that are not an ID
		return 0, nil, errNotFound
	}
	d, err := p.store.deployment(r.Context(), r.PathValue("app"), id)
	return http.StatusOK, d, err
}

// listDeployments returns a page in the form of the mounted API's lists.
func (p *platform) listDeployments(r *http.Request) (int, any, error) {
	limit, cursor := 50, r.URL.Query().Get("cursor")
	if text := r.URL.Query().Get("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > 200 {
			return 0, nil, badField("limit", "want 1 to 200")
		}
	}
	if cursor != "" && !deploymentID.MatchString(cursor) {
		return 0, nil, badField("cursor", "not a cursor returned by this list")
	}
	name, err := p.app(r)
	if err != nil {
		return 0, nil, err
	}
	found, err := p.store.deployments(r.Context(), name, cursor, limit+1)
	if err != nil {
		return 0, nil, err
	}
	page := struct {
		Live  string              `json:"live_version,omitempty"`
		Items []engine.Deployment `json:"items"`
		Next  string              `json:"next,omitempty"`
	}{Live: p.engine.Live(name), Items: found}
	if len(found) > limit {
		page.Items, page.Next = found[:limit], found[limit-1].ID
	}
	return http.StatusOK, page, nil
}

func (p *platform) rollback(r *http.Request) (int, any, error) {
	in, err := read[struct {
		Reason       string `json:"reason"`
		DeploymentID string `json:"deployment_id"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	if in.Reason == "" {
		in.Reason = "requested"
	}
	name, err := p.app(r)
	if err != nil {
		return 0, nil, err
	}
	d, err := p.engine.Rollback(r.Context(), name, in.DeploymentID, in.Reason)
	return http.StatusOK, d, err
}

// problems are the answers to errors.
var problems = []struct {
	is     error
	status int
	code   string
}{
	{errNotFound, http.StatusNotFound, "not_found"},
	{errTaken, http.StatusConflict, "token_exists"},
	{outbox.ErrUnknownApp, http.StatusNotFound, "unknown_app"},
	{engine.ErrBusy, http.StatusConflict, "busy"},
	{engine.ErrNotLive, http.StatusConflict, "not_live"},
	{engine.ErrNothingLive, http.StatusConflict, "nothing_live"},
	{engine.ErrNothingBefore, http.StatusConflict, "nothing_before"},
	{engine.ErrUnhealthy, http.StatusConflict, "unhealthy"},
	{engine.ErrClosed, http.StatusServiceUnavailable, "unavailable"},
	{outbox.ErrClosed, http.StatusServiceUnavailable, "unavailable"},
}

// problemOf converts an error to an answer. Errors that the caller should not
// see become an internal error.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if wrong, ok := errors.AsType[*engine.FieldError](err); ok {
		return badField(wrong.Field, wrong.Reason)
	}
	if invalid, ok := errors.AsType[*payload.ValidationError](err); ok {
		p := badField("", "")
		p.Errors = nil
		for _, f := range invalid.Failures {
			p.Errors = append(p.Errors, fieldFault{f.Path, f.Message})
		}
		return p
	}
	for _, known := range problems {
		if errors.Is(err, known.is) {
			text := err.Error()
			if p := outbox.Problems(err)[0]; p.Code != "internal" { // the error itself is for operators
				text = p.Text
			}
			return newProblem(known.status, known.code, text)
		}
	}
	return newProblem(http.StatusInternalServerError, "internal", "The service has failed. It was not the request's fault.")
}
