package cdevents

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// The members of customData in which the documents travel.
const (
	deploymentMember = "deployhookDeployment"
	eventMember      = "deployhookEvent"
)

// The names under which an event of another producer leaves its type and outcome in metadata.
const (
	typeNote    = "cdeventsType"
	outcomeNote = "cdeventsOutcome"
)

// Deployment returns the deployment that the event reports.
//
// An event that [FromDeployment] made gives the very record back, and base is not used. One that [FromEvent] made is
// converted, see [payload.Event.Deployment]. An event of another producer is mapped by the table in the package's
// documentation; base then supplies what it lacks: a service.deployed does not say when the deployment started, and a
// pipelinerun.started neither commit nor environment. The event itself becomes the RawPayload, and its type and outcome
// are added to the metadata as cdeventsType and cdeventsOutcome.
//
// Errors wrap [payload.ErrIgnored] if the event says nothing of a deployment, and [payload.ErrInvalid] if it is wrong or what
// is required is still missing; those name the record's members. The event contradicting its customData is an
// [ErrMismatch].
func (e *Event) Deployment(base payload.Deployment) (*payload.Deployment, error) {
	deployment, event, err := e.carried()
	switch {
	case err != nil:
		return nil, err
	case deployment != nil:
		return deployment, nil
	case event != nil:
		return event.Deployment(base)
	}
	r, err := e.report()
	if err != nil {
		return nil, err
	}
	return e.foreignDeployment(r, base)
}

// Event returns the event, as package payload knows them, that the CDEvent reports.
//
// A CDEvent that [FromEvent] made gives the very event back, and base is not used. One that [FromDeployment] made is
// converted, see [payload.Deployment.Event]. A CDEvent of another producer is mapped by the table in the package's
// documentation; base then supplies what it lacks, such as the app of a pipelinerun. Errors are those of
// [Event.Deployment].
func (e *Event) Event(base payload.Event) (*payload.Event, error) {
	deployment, event, err := e.carried()
	switch {
	case err != nil:
		return nil, err
	case event != nil:
		return event, nil
	case deployment != nil:
		return deployment.Event(base)
	}
	r, err := e.report()
	if err != nil {
		return nil, err
	}
	return e.foreignEvent(r, base)
}

// carried returns the document in customData, if there is one of ours, after comparing it with the event.
func (e *Event) carried() (*payload.Deployment, *payload.Event, error) {
	var custom struct {
		Deployment jsontext.Value `json:"deployhookDeployment"`
		Event      jsontext.Value `json:"deployhookEvent"`
	}
	if e.doc.CustomData.Kind() != '{' || !isJSON(string(e.doc.CustomDataContentType)) {
		return nil, nil, nil
	}
	if err := read(e.doc.CustomData, &custom); err != nil {
		return nil, nil, at("customData", err)
	}
	switch {
	case custom.Deployment != nil && custom.Event != nil:
		return nil, nil, invalid("customData", "must have only one of deployhookDeployment and deployhookEvent")
	case custom.Deployment != nil:
		d, err := payload.DecodeDeployment(custom.Deployment)
		if err != nil {
			return nil, nil, at("customData."+deploymentMember, err)
		}
		return d, nil, e.compare(deploymentFacts(d))
	case custom.Event != nil:
		event, err := payload.DecodeEvent(custom.Event)
		if err != nil {
			return nil, nil, at("customData."+eventMember, err)
		}
		return nil, event, e.compare(eventFacts(event))
	}
	return nil, nil, nil
}

// compare refuses an event that says one thing to those who know CDEvents, and another to those who read customData.
func (e *Event) compare(f facts) error {
	var differs failures
	check := func(path string, same bool) {
		if !same {
			differs.add(path, "must agree with the document in customData")
		}
	}
	kind := e.kind
	switch {
	case kind == "":
		kind = e.Type()
	case kind == taskStarted && f.kind == pipelineStarted:
		kind = pipelineStarted // the pipeline was not known
	}
	check("context.type", kind == f.kind)
	check("context.chainId", e.ChainID() == f.deploymentID)
	check("context.timestamp", e.occurred.Equal(f.occurred))
	check("subject.id", e.Subject() == f.subject())
	var c content
	if err := e.content(&c); err != nil {
		return err
	}
	check("subject.content.outcome", string(c.Outcome) == f.outcome)
	if c.Environment != nil {
		check("subject.content.environment.id", string(c.Environment.ID) == f.environment)
	}
	return mismatch(differs)
}

// content reads the subject's content. Members that are not known are passed over: another version may have more.
func (e *Event) content(c *content) error {
	return at("subject.content", read(e.doc.Subject.Content, c))
}

// report is what another producer's event says of a deployment.
type report struct {
	status  payload.Status
	content content
	purl    purl
	service string
	id      string // the deployment's
}

// report maps the event by its type.
func (e *Event) report() (report, error) {
	r := report{id: e.ChainID()}
	switch e.kind {
	case pipelineQueued, pipelineStarted, pipelineFinished, taskStarted, taskFinished,
		serviceDeployed, serviceUpgraded, serviceRolledBack:
	default:
		return r, e.ignored("events of this type say nothing of a deployment's status")
	}
	if !strings.HasPrefix(e.Type(), standardPrefix+e.kind+".0.") {
		return r, e.ignored("this version of the type is not known here")
	}
	if err := e.content(&r.content); err != nil {
		return r, err
	}
	if strings.HasPrefix(e.kind, "service.") {
		return r, e.reportService(&r)
	}
	r.id = either(r.id, e.Subject())
	return r, e.reportRun(&r)
}

func (e *Event) reportService(r *report) error {
	r.status, r.service = payload.StatusSuccess, e.Subject()
	if e.kind == serviceRolledBack {
		r.status = payload.StatusRolledBack
	}
	var f failures
	if r.content.Environment == nil || r.content.Environment.ID == "" {
		f.add("subject.content.environment.id", isRequired)
	}
	f.require("subject.content.artifactId", string(r.content.ArtifactID))
	var ok bool
	if r.purl, ok = parsePurl(string(r.content.ArtifactID)); !ok {
		f.add("subject.content.artifactId", packageURL)
	}
	return f.err()
}

func (e *Event) reportRun(r *report) error {
	if strings.HasPrefix(e.kind, "taskrun.") && r.content.TaskName != deployTask {
		return e.ignored(`of the tasks of a pipeline, only the one named "deploy" is taken for the deployment`)
	}
	switch e.kind {
	case pipelineQueued:
		r.status = payload.StatusPending
		return nil
	case pipelineStarted, taskStarted:
		r.status = payload.StatusInProgress
		return nil
	}
	switch r.content.Outcome {
	case outcomeFailure, outcomeError:
		r.status = payload.StatusFailure
	case outcomeCancel:
		r.status = payload.StatusCancelled
	case outcomeSuccess:
		return e.ignored("that a run succeeded does not say what is live where; service.deployed and service.upgraded do")
	case "":
		return invalid("subject.content.outcome", isRequired)
	default:
		return e.ignored("the outcome is none of success, failure, cancel and error")
	}
	return nil
}

func (e *Event) ignored(reason string) error { return &IgnoredError{Type: e.Type(), Reason: reason} }

func (e *Event) foreignDeployment(r report, base payload.Deployment) (*payload.Deployment, error) {
	d := base
	d.Status = r.status
	d.DeploymentID = either(r.id, base.DeploymentID)
	d.Service = either(r.service, base.Service)
	if r.content.Environment != nil {
		d.Environment = either(string(r.content.Environment.ID), base.Environment)
	}
	if r.status == payload.StatusRolledBack {
		d.PreviousCommitSHA = either(r.purl.commit(), base.PreviousCommitSHA)
	} else {
		d.CommitSHA = either(r.purl.commit(), base.CommitSHA)
	}
	if strings.Contains(r.purl.version, ":") {
		d.ArtifactDigest = r.purl.version // of an image; Validate judges it
	}
	d.PipelineName = either(string(r.content.PipelineName), base.PipelineName)
	// A URI of another kind, which CDEvents allow, is only in the raw payload. The
	// log line of a receiver names it.
	uri := r.content.URI
	if !e.spec.named {
		uri = r.content.URL
	}
	if link, ok := payload.CleanURL(string(uri)); ok {
		d.PipelineURL = link
	} else if uri != "" {
		d.Dropped = append(slices.Clone(base.Dropped), payload.Failure{
			Path: "subject.content." + e.spec.link(), Message: "must be an absolute http or https URL",
		})
	}
	if r.status.Terminal() {
		d.CompletedAt = e.occurred
	} else {
		d.StartedAt = e.occurred
	}
	var err error
	if d.RawPayload, err = payload.ParseObject(e.body); err != nil {
		return nil, err
	}
	if err := r.note(e, &d.Metadata); err != nil {
		return nil, err
	}
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("cdevents: event as a deployment: fill what it lacks through base: %w", err)
	}
	return &d, nil
}

func (e *Event) foreignEvent(r report, base payload.Event) (*payload.Event, error) {
	event := base
	event.Type, _ = r.status.EventType()
	event.Status, event.Timestamp = r.status, e.occurred
	event.DeploymentID = either(r.id, base.DeploymentID)
	event.App = either(r.service, base.App)
	if r.content.Environment != nil {
		event.Environment = either(string(r.content.Environment.ID), base.Environment)
	}
	event.Error = either(string(r.content.Errors), base.Error)
	switch r.status {
	case payload.StatusRolledBack:
		event.PreviousVersion = either(r.purl.version, base.PreviousVersion)
	case payload.StatusSuccess:
		event.Version = either(r.purl.version, base.Version)
		if sha := r.purl.commit(); sha != "" {
			commit := payload.Commit{SHA: sha}
			if base.Commit != nil {
				commit = *base.Commit
				commit.SHA = sha
			}
			event.Commit = &commit
		}
	case payload.StatusCancelled:
		event.Error = either(event.Error, "deployment cancelled")
	}
	if err := r.note(e, &event.Metadata); err != nil {
		return nil, err
	}
	if err := event.Validate(); err != nil {
		return nil, fmt.Errorf("cdevents: event as a deployment event: fill what it lacks through base: %w", err)
	}
	return &event, nil
}

// note keeps what the producer said, in its own words, in the metadata.
func (r *report) note(e *Event, m *payload.Metadata) error {
	if err := m.Set(typeNote, e.Type()); err != nil {
		return err
	}
	if r.content.Outcome == "" {
		return nil
	}
	return m.Set(outcomeNote, string(r.content.Outcome))
}

// isJSON reports whether a media type is application/json; customData without one is (CDEvents v0.5.1, "customData").
func isJSON(mediaType string) bool {
	return mediaType == "" || essence(mediaType) == jsonType
}
