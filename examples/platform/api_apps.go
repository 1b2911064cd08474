package main

import (
	"context"
	"net/http"
	"regexp"
	"slices"

	"github.com/deployhook/deployhook/examples/platform/internal/engine"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
)

func (p *platform) sources(*http.Request) (int, any, error) {
	return http.StatusOK, map[string][]string{"sources": engine.Sources()}, nil
}

var appName = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,38}[a-z0-9])?$`)

// deploymentID matches the IDs of payload.NewDeploymentID.
var deploymentID = regexp.MustCompile(`^dep_[0-9a-f]{1,64}$`)

func (p *platform) createApp(r *http.Request) (int, any, error) {
	in, err := read[struct {
		Name string `json:"name"`
	}](r)
	if err != nil {
		return 0, nil, err
	}
	if !appName.MatchString(in.Name) {
		return 0, nil, badField(http.StatusUnprocessableEntity, "name", "want up to 40 lower-case letters, digits and hyphens, beginning with a letter")
	}
	apps, err := p.apps(r.Context())
	if err != nil {
		return 0, nil, err
	}
	status := http.StatusCreated
	if slices.Contains(apps, in.Name) {
		status = http.StatusOK
	}
	return status, in, p.outbox.RegisterApp(r.Context(), in.Name)
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

func (p *platform) listApps(r *http.Request) (int, any, error) {
	type app struct {
		Name string `json:"name"`
		Live string `json:"live_version,omitempty"`
	}
	names, err := p.apps(r.Context())
	if err != nil {
		return 0, nil, err
	}
	apps := []app{}
	for _, name := range names {
		apps = append(apps, app{name, p.engine.Live(name)})
	}
	return http.StatusOK, map[string]any{"apps": apps}, nil
}

// app returns the app in the path, if it is registered.
func (p *platform) app(r *http.Request) (string, error) {
	app := p.customer(r)
	_, err := app.Endpoints(r.Context())
	return app.Name(), err
}

// customer returns the view of the request's app, in which other apps' IDs are
// unknown.
func (p *platform) customer(r *http.Request) *outbox.App { return p.outbox.App(r.PathValue("app")) }

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

func (p *platform) getDeployment(r *http.Request) (int, any, error) {
	id := r.PathValue("id")
	if !deploymentID.MatchString(id) { // PostgreSQL refuses some texts that are not an ID
		return 0, nil, errNotFound
	}
	d, err := p.store.deployment(r.Context(), id)
	return http.StatusOK, d, err
}

func (p *platform) listDeployments(r *http.Request) (int, any, error) {
	n, err := limit(r)
	if err != nil {
		return 0, nil, err
	}
	name, err := p.app(r)
	if err != nil {
		return 0, nil, err
	}
	cursor := r.URL.Query().Get("cursor")
	if cursor != "" && !deploymentID.MatchString(cursor) {
		return 0, nil, badField(http.StatusUnprocessableEntity, "cursor", "not a cursor returned by this list")
	}
	found, err := p.store.deployments(r.Context(), name, cursor, n+1)
	if err != nil {
		return 0, nil, err
	}
	page := struct {
		Deployments []engine.Deployment `json:"deployments"`
		Cursor      string              `json:"cursor,omitempty"`
	}{Deployments: found}
	if len(found) > n {
		page.Deployments, page.Cursor = found[:n], found[n-1].ID
	}
	return http.StatusOK, page, nil
}

func (p *platform) rollback(r *http.Request) (int, any, error) {
	in, err := read[struct {
		Reason string `json:"reason"`
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
	d, err := p.engine.Rollback(r.Context(), name, in.Reason)
	return http.StatusOK, d, err
}
