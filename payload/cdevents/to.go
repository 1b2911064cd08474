package cdevents

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/deployhook/deployhook/payload"
)

// The members of customData that hold the documents.
const (
	deploymentMember = "deployhookDeployment"
	eventMember      = "deployhookEvent"
)

// The metadata names for the type and outcome of another producer's event.
const (
	typeNote    = "cdeventsType"
	outcomeNote = "cdeventsOutcome"
)

// Deployment returns the deployment that the event reports.
//
//	Made by           Result
//	FromDeployment    the same record; base is not used
//	FromEvent         the converted event, see payload.Event.Deployment
//	other producers   by the mapping table of the package documentation
//
// For an event of another producer, base supplies the missing values. For
// example, a service.deployed does not tell when the deployment started, and a
// pipelinerun.started has neither commit nor environment. RawPayload is the
// event itself. The metadata also has its type and outcome as cdeventsType and
// cdeventsOutcome.
//
// Errors wrap [payload.ErrIgnored] if the event does not report the status of a
// deployment. They wrap [payload.ErrInvalid] if the event is invalid, or if a
// required member of the record is still missing. The latter name that member.
// If the event contradicts its customData, the error is an [ErrMismatch].
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

// Event returns the payload.Event that the CDEvent reports.
//
//	Made by           Result
//	FromEvent         the same event; base is not used
//	FromDeployment    the converted record, see payload.Deployment.Event
//	other producers   by the mapping table of the package documentation
//
// For a CDEvent of another producer, base supplies the missing values, such as
// the app of a pipelinerun. Errors are those of [Event.Deployment].
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

// carried returns the document in customData, if this package wrote one, after
// comparing it with the event.
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

// compare refuses an event whose CDEvent members differ from the document in
// its customData. Otherwise two readers could see different events.
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
		// the pipeline was unknown
		kind = pipelineStarted
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

// content reads the subject's content. It skips unknown members, because
// another version may have more.
func (e *Event) content(c *content) error {
	return at("subject.content", read(e.doc.Subject.Content, c))
}

// report holds what another producer's event tells about a deployment.
type report struct {
	status  payload.Status
	content content
	purl    purl
	service string
	id      string // the deployment's ID
}

// report maps the event by its type.
func (e *Event) report() (report, error) {
	r := report{id: e.ChainID()}
	switch e.kind {
	case pipelineQueued, pipelineStarted, pipelineFinished, taskStarted, taskFinished,
		serviceDeployed, serviceUpgraded, serviceRolledBack:
	default:
		return r, e.ignored("events of this type do not report the status of a deployment")
	}
	if !strings.HasPrefix(e.Type(), standardPrefix+e.kind+".0.") {
		return r, e.ignored("this version of the type is not supported")
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
		return e.ignored(`only a task named "deploy" counts as a deployment`)
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
		return e.ignored("a successful run does not tell which version is live in which environment; service.deployed and service.upgraded do")
	case "":
		return invalid("subject.content.outcome", isRequired)
	default:
		return e.ignored("the outcome is not success, failure, cancel or error")
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
	// CDEvents also allow URIs that are not links. Such a URI stays only in the
	// raw payload. The receiver's log line names it.
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
		return nil, fmt.Errorf("cdevents: converting the event to a deployment: set the fields that it lacks in base: %w", err)
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
		return nil, fmt.Errorf("cdevents: converting the event to a deployment event: set the fields that it lacks in base: %w", err)
	}
	return &event, nil
}

// note stores the producer's type and outcome in the metadata.
func (r *report) note(e *Event, m *payload.Metadata) error {
	if err := m.Set(typeNote, e.Type()); err != nil {
		return err
	}
	if r.content.Outcome == "" {
		return nil
	}
	return m.Set(outcomeNote, string(r.content.Outcome))
}

// isJSON reports whether a media type is application/json, which is also the
// default for customData (CDEvents v0.5.1, "customData").
func isJSON(mediaType string) bool {
	return mediaType == "" || essence(mediaType) == jsonType
}
