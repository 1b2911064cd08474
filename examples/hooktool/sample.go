package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/template"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// message is what trigger sends in one request.
type message struct {
	event      string // for the output
	deployment string
	id         string
	header     http.Header
	body       []byte
}

// sequences are whole deployments.
func sequences() map[string][]payload.Type {
	return map[string][]payload.Type{
		"live":        {payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive},
		"failed":      {payload.DeployStarted, payload.BuildCompleted, payload.DeployFailed},
		"rolled-back": {payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive, payload.DeployRolledBack},
		"all":         eventTypes(),
	}
}

func eventTypes() []payload.Type {
	return []payload.Type{
		payload.DeployStarted, payload.BuildCompleted, payload.HealthCheckPassed, payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack,
	}
}

// expand returns the types that the arguments name.
func expand(args []string) ([][]payload.Type, error) {
	var deployments [][]payload.Type
	var single []payload.Type
	for _, arg := range args {
		if types, found := sequences()[arg]; found {
			deployments = append(deployments, types)
			continue
		}
		if t := payload.Type(arg); t.Known() {
			single = append(single, t)
			continue
		}
		var names []string
		for _, t := range eventTypes() {
			names = append(names, string(t))
		}
		return nil, usagef("%q: want live, failed, rolled-back, all, or one of %s", cut(arg, 40), strings.Join(names, ", "))
	}
	if len(single) > 0 {
		deployments = append(deployments, single) // of one deployment
	}
	return deployments, nil
}

// sample holds the facts of a sample deployment.
type sample struct {
	App, Environment, DeploymentID, Version, PreviousVersion, Commit, Branch string

	began time.Time
}

// event returns a valid event of a type.
func (s sample) event(t payload.Type, at time.Time) *payload.Event {
	e := &payload.Event{
		Type: t, Timestamp: at, DeploymentID: s.DeploymentID, App: s.App, Environment: s.Environment, TriggeredBy: "hooktool", Version: s.Version,
		Commit: &payload.Commit{SHA: s.Commit, Branch: s.Branch, Message: "Sample of hooktool"},
	}
	switch t {
	case payload.DeployStarted:
		e.Status = payload.StatusInProgress
	case payload.BuildCompleted:
		e.Status, e.BuildDurationSeconds, e.ImageSizeMB, e.CacheHit = payload.StatusSuccess, new(47.3), new(128.0), new(true)
	case payload.HealthCheckPassed:
		e.HealthCheck = &payload.HealthCheck{URL: "/health", StatusCode: new(200), ResponseTimeMS: new(41.0), Attempts: new(2)}
	case payload.DeployLive:
		e.Status, e.URL = payload.StatusSuccess, "https://"+s.App+".example.com"
	case payload.DeployFailed:
		e.Status, e.Error = payload.StatusFailure, "health check failed: GET /health answered 503 five times"
	case payload.DeployRolledBack:
		e.Status, e.PreviousVersion = payload.StatusRolledBack, s.PreviousVersion
		e.Rollback = &payload.Rollback{Reason: "the error rate rose to 12 %", Automatic: new(true)}
	}
	return e
}

// message returns an event in a format.
func (s sample) message(format string, t payload.Type, at time.Time) (message, error) {
	e := s.event(t, at)
	e.DeliveryID = payload.NewDeliveryID()
	m := message{event: string(t), deployment: s.DeploymentID, id: e.DeliveryID, header: http.Header{"Content-Type": {"application/json"}}}
	var err error
	switch format {
	case "event":
		m.body, err = e.Encode()
	case "envelope":
		m.body, err = (&payload.Envelope{Event: *e}).Encode()
	case "deployment":
		m.body, err = s.record(e)
	case "cdevents":
		var c *cdevents.Event
		if c, err = cdevents.FromEvent(e, cdevents.Options{Source: "https://ci.example.com/" + s.App}); err == nil {
			m.header, m.body = c.Structured()
		}
	}
	if err != nil {
		return message{}, usagef("-format %s: %s", format, oneLine(err.Error()))
	}
	return m, nil
}

// record returns the deployment record after an event.
func (s sample) record(e *payload.Event) ([]byte, error) {
	d, err := e.Deployment(payload.Deployment{StartedAt: s.began, PipelineURL: "https://ci.example.com/runs/1"})
	if err != nil {
		return nil, err
	}
	return d.Encode()
}

// templated renders a body from the caller's template.
func (s sample) templated(tmpl *template.Template, t payload.Type, at time.Time) (message, error) {
	m := message{event: string(t), deployment: s.DeploymentID, id: payload.NewDeliveryID(), header: http.Header{"Content-Type": {"application/json"}}}
	var out bytes.Buffer
	err := tmpl.Execute(&out, map[string]any{
		"Event": string(t), "Timestamp": at.UTC().Format(time.RFC3339), "Unix": at.Unix(), "DeliveryID": m.id, "DeploymentID": s.DeploymentID,
		"App": s.App, "Environment": s.Environment, "Version": s.Version, "PreviousVersion": s.PreviousVersion, "Commit": s.Commit, "Branch": s.Branch,
	})
	if err != nil {
		return message{}, usagef("-template: %s", oneLine(err.Error()))
	}
	m.body = out.Bytes()
	return m, nil
}

func parseTemplate(ctx context.Context, c *call, path string) (*template.Template, error) {
	text, err := c.readFile(ctx, path, 1<<20)
	if err != nil {
		return nil, err
	}
	quote := func(v any) (string, error) {
		out, err := json.Marshal(v)
		return string(out), err
	}
	t, err := template.New(path).Option("missingkey=error").Funcs(template.FuncMap{"json": quote}).Parse(string(text))
	if err != nil {
		return nil, usagef("-template: %s", oneLine(err.Error()))
	}
	return t, nil
}

// fromRecorded makes a new delivery of a recorded request. An event gets a new
// delivery ID and time. Other bodies stay as they are.
func fromRecorded(r *recorded, at time.Time) message {
	m := message{event: "recorded", id: payload.NewDeliveryID(), header: unsignedHeader(r.Header), body: r.body()}
	if e, err := payload.DecodeEvent(m.body); err == nil {
		e.DeliveryID, e.Timestamp = m.id, at
		if body, err := e.Encode(); err == nil {
			m.body = body
		}
		m.event, m.deployment = string(e.Type), e.DeploymentID
	}
	return m
}

// unsignedHeader returns the headers without those of a signature.
func unsignedHeader(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if !connectionHeaders[name] && !slices.Contains(signatureHeaders(), name) && !slices.Contains(values, redacted) {
			out[name] = slices.Clone(values)
		}
	}
	return out
}

// signatureHeaders are those that a new signature replaces.
func signatureHeaders() []string {
	names := []string{
		"Webhook-Id", "Webhook-Timestamp", "X-Webhook-Id", "X-Webhook-Timestamp", "X-Temps-Id", "X-Temps-Timestamp", "X-Temps-Signature",
		"Signature", "Date", "Digest", "Content-Digest", "Content-Length",
	}
	for _, s := range schemes() {
		if s.header != "" {
			names = append(names, s.header)
		}
	}
	return names
}

// newSample fills in what the flags leave open.
func newSample(s sample, number int, at time.Time) sample {
	s.App, s.Environment = cmp.Or(s.App, "api-service"), cmp.Or(s.Environment, "production")
	s.Version, s.PreviousVersion = cmp.Or(s.Version, "v1.8.0"), cmp.Or(s.PreviousVersion, "v1.7.2")
	s.Commit, s.Branch = cmp.Or(s.Commit, "f4c8e2a91b7d3f605c8e2a91b7d3f605c8e2a91b"), cmp.Or(s.Branch, "main")
	s.began = at
	switch {
	case s.DeploymentID == "":
		s.DeploymentID = "dep_" + strings.ToLower(rand.Text()[:10]) // short, for one line
	case number > 1:
		s.DeploymentID += fmt.Sprintf("-%d", number)
	}
	return s
}
