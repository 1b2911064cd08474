package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/argocd"
	"github.com/deployhook/deployhook/payload/azure"
	"github.com/deployhook/deployhook/payload/bitbucket"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/coolify"
	"github.com/deployhook/deployhook/payload/dokploy"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/flux"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/payload/heroku"
	"github.com/deployhook/deployhook/payload/jenkins"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/payload/pagerduty"
	"github.com/deployhook/deployhook/payload/render"
	"github.com/deployhook/deployhook/payload/temps"
	"github.com/deployhook/deployhook/payload/vercel"
)

// description is what a body says, for people. Its texts are not checked and
// may be hostile.
type description struct {
	Source      string `json:"source,omitempty"`
	Event       string `json:"event,omitempty"` // type, or status of a record
	Deployment  string `json:"deployment,omitempty"`
	App         string `json:"app,omitempty"`
	Environment string `json:"environment,omitempty"`
	Detail      string `json:"detail,omitempty"`
	Ignored     bool   `json:"ignored,omitempty"` // no event about a deployment
	Invalid     string `json:"invalid,omitempty"`
}

type decoder func(ctx context.Context, h http.Header, body []byte) (description, error)

// source is a sender of webhooks whose bodies can be read. header tells its
// requests.
type source struct {
	name, header string
	decode       decoder
}

// sources returns all senders, with environment for those that name none.
func sources(environment string) []source {
	environment = cmp.Or(environment, "production")
	return []source{
		{"github", "X-Github-Event", records(github.NewDecoder(github.WithRollbacks()))},
		{"gitlab", "X-Gitlab-Event", records(gitlab.NewDecoder())},
		{"vercel", "X-Vercel-Signature", records(vercel.NewDecoder())},
		{"heroku", "Heroku-Webhook-Hmac-Sha256", records(heroku.NewDecoder(heroku.WithEnvironment(environment)))},
		{"bitbucket", "X-Event-Key", records(bitbucket.NewDecoder(bitbucket.WithEnvironment(environment)))},
		{"pagerduty", "X-Pagerduty-Signature", incidents(pagerduty.NewIncidentDecoder())},
		{"cdevents", "Ce-Type", describeCDEvent},
		{"flux", "Gotk-Component", records(flux.NewDecoder(flux.WithEnvironment(environment)))},
		{"temps", "", records(temps.NewDecoder())},
		{"argocd", "", records(argocd.NewDecoder())},
		{"circleci", "Circleci-Signature", records(circleci.NewDecoder(circleci.WithEnvironment(environment)))},
		{"drone", "X-Drone-Event", records(drone.NewDecoder())},
		{"netlify", "", records(netlify.NewDecoder())},
		{"coolify", "", records(coolify.NewDecoder(coolify.WithComplete(withoutCommit)))},
		{"jenkins", "", records(jenkins.NewDecoder(jenkins.WithEnvironment(environment)))},
		{"dokploy", "", records(dokploy.NewDecoder(dokploy.WithEnvironment(environment), dokploy.WithComplete(withoutCommit)))},
		{"render", "", records(render.NewDecoder(render.WithEnvironment(environment)))},
		{"azure", "", records(azure.NewDecoder())},
		{"event", "", describeEvent},
		{"deployment", "", records(func(_ context.Context, body []byte) (*payload.Deployment, error) {
			return payload.DecodeDeployment(body)
		}, nil)},
		{"incident", "", incidents(func(_ context.Context, body []byte) (*payload.Incident, error) { return payload.DecodeIncident(body) }, nil)},
	}
}

// withoutCommit lets a source without commits be shown. A service asks the
// sender's API for the commit here.
func withoutCommit(_ context.Context, d *payload.Deployment) error {
	d.SetCommit("0000000")
	return nil
}

func sourceNames() string {
	var names []string
	for _, s := range sources("") {
		names = append(names, s.name)
	}
	return strings.Join(names, ", ")
}

// describe decodes a body as that of a source. The empty source is recognised
// by headers and members.
func describe(ctx context.Context, name, environment string, h http.Header, body []byte) description {
	all := sources(environment)
	i := slices.IndexFunc(all, func(s source) bool { return s.name == cmp.Or(name, recognise(all, h, body)) })
	if i < 0 {
		return describeOther(h, body)
	}
	d, err := all[i].decode(ctx, h, body)
	d.Source = all[i].name
	switch {
	case errors.Is(err, payload.ErrIgnored):
		d.Ignored, d.Detail = true, strings.TrimSuffix(oneLine(err.Error()), ": "+payload.ErrIgnored.Error())
	case err != nil:
		d.Invalid = strings.TrimPrefix(oneLine(err.Error()), "Invalid payload: ")
	}
	return d
}

// recognise returns the name of a source, or "".
func recognise(all []source, h http.Header, body []byte) string {
	for _, s := range all {
		if s.header != "" && len(h[s.header]) > 0 {
			return s.name
		}
	}
	if isJWS(h) {
		return "netlify"
	}
	if strings.HasPrefix(h.Get("Content-Type"), "application/cloudevents+json") {
		return "cdevents"
	}
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return ""
	}
	if _, enveloped := members["data"]; enveloped && members["type"] != nil {
		return "event"
	}
	for _, c := range []struct{ source, member string }{
		{"event", "event"}, {"temps", "event_type"}, {"incident", "incidentId"}, {"deployment", "deploymentId"},
	} {
		if _, found := members[c.member]; found {
			return c.source
		}
	}
	return ""
}

// describeOther says what can be said about any body.
func describeOther(h http.Header, body []byte) description {
	var members struct {
		Type      string `json:"type"`
		EventType string `json:"event_type"`
		Action    string `json:"action"`
	}
	_ = json.Unmarshal(body, &members) // an error leaves the members empty
	return description{Event: cmp.Or(members.Type, members.EventType, members.Action), Detail: h.Get("Content-Type")}
}

func describeEvent(_ context.Context, _ http.Header, body []byte) (description, error) {
	e, _, err := payload.DecodeEventOrEnvelope(body)
	if err != nil {
		return description{}, err
	}
	return ofEvent(e), nil
}

func ofEvent(e *payload.Event) description {
	d := description{Event: string(e.Type), Deployment: e.DeploymentID, App: e.App, Environment: e.Environment}
	switch {
	case e.Error != "":
		d.Detail = e.Error
	case e.Type == payload.DeployRolledBack && e.PreviousVersion != "":
		d.Detail = "back to " + e.PreviousVersion
	default:
		d.Detail = cmp.Or(e.Version, e.URL)
	}
	return d
}

func describeCDEvent(_ context.Context, h http.Header, body []byte) (description, error) {
	e, err := cdevents.Decode(h, body)
	if err != nil {
		return description{}, err
	}
	return description{Event: e.Type(), Deployment: e.ChainID(), App: e.Subject(), Detail: e.Source()}, nil
}

// records makes a decoder of one that returns deployment records. Its options
// are constant, so err is nil.
func records(decode func(context.Context, []byte) (*payload.Deployment, error), err error) decoder {
	return func(ctx context.Context, _ http.Header, body []byte) (description, error) {
		if err != nil {
			return description{}, err
		}
		d, err := decode(ctx, body)
		if err != nil {
			return description{}, err
		}
		return description{Event: string(d.Status), Deployment: d.DeploymentID, App: d.Service, Environment: d.Environment, Detail: d.CommitSHA}, nil
	}
}

func incidents(decode func(context.Context, []byte) (*payload.Incident, error), err error) decoder {
	return func(ctx context.Context, _ http.Header, body []byte) (description, error) {
		if err != nil {
			return description{}, err
		}
		i, err := decode(ctx, body)
		if err != nil {
			return description{}, err
		}
		state := "incident.opened"
		if !i.ResolvedAt.IsZero() {
			state = "incident.resolved"
		}
		return description{Event: state, Deployment: i.DeploymentID, App: i.Service, Environment: i.Environment, Detail: i.Title}, nil
	}
}
