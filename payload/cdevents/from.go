package cdevents

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/deployhook/deployhook/payload"
)

// Options are what a CDEvent needs and a document of package payload does not have.
type Options struct {
	// Source says what produces the events: a URI-reference (RFC 3986) such as the URL of the pipeline or of the
	// repository. Receivers tell duplicates by source and ID together. Required.
	Source string

	// ID is the event's own ID. Empty means the delivery ID of a payload.Event that has one, else a random UUID: make
	// the event once, and send the same one in every attempt.
	ID string

	// ArtifactID is the package URL of what was deployed, after a rollback of what is live again: say
	// pkg:oci/app@sha256%3A… when the digest is known. Empty means pkg:generic/<service>@<version>, the version being
	// the commit, or an event's version where it has no commit.
	ArtifactID string

	// PipelineName and PipelineURL name the run. Empty means those of a payload.Deployment; a payload.Event has none.
	PipelineName, PipelineURL string

	// Error says why a deployment failed, for people. Empty means that of a payload.Event; a payload.Deployment has
	// none.
	Error string
}

// FromDeployment makes the CDEvent that reports a deployment's status. See the table in the package's documentation.
// The whole record goes along in customData, so that [Event.Deployment] gives it back.
//
// What the CDEvent requires and neither d nor o has is a [payload.ValidationError] that names d's member: the
// environment and the service of a deployment that succeeded, the previousCommitSha of one that was rolled back.
func FromDeployment(d *payload.Deployment, o Options) (*Event, error) {
	if d == nil {
		return nil, errors.New("cdevents: the deployment is nil")
	}
	doc, err := d.Encode()
	if err != nil {
		return nil, err
	}
	return build(deploymentFacts(d), o, deploymentMember, doc)
}

// FromEvent makes the CDEvent that reports one step of a deployment. See the table in the package's documentation. The
// whole event goes along in customData, so that [Event.Event] gives it back.
//
// What the CDEvent requires and neither e nor o has is a [payload.ValidationError] that names e's member: the commit or
// the version of a deploy.live, the environment of a health_check.passed.
func FromEvent(e *payload.Event, o Options) (*Event, error) {
	if e == nil {
		return nil, errors.New("cdevents: the event is nil")
	}
	doc, err := e.Encode()
	if err != nil {
		return nil, err
	}
	if o.ID == "" {
		o.ID = e.DeliveryID
	}
	return build(eventFacts(e), o, eventMember, doc)
}

// facts are what a CDEvent is made of, whichever of the two documents they come from.
type facts struct {
	kind         string
	deploymentID string
	service      string
	environment  string
	version      string // of the artifact; after a rollback, the one that is live again
	outcome      string
	errors       string
	pipelineName string
	pipelineURL  string
	occurred     time.Time

	idName, serviceName, versionName string // the document's members, for errors
}

func deploymentFacts(d *payload.Deployment) facts {
	f := facts{
		deploymentID: d.DeploymentID, service: d.Service, environment: d.Environment, version: d.CommitSHA,
		pipelineName: d.PipelineName, pipelineURL: d.PipelineURL, occurred: d.StartedAt,
		idName: "deploymentId", serviceName: "service", versionName: "commitSha",
	}
	if d.Status.Terminal() {
		f.occurred = d.CompletedAt
	}
	f.setStatus(d.Status, d.PreviousCommitSHA != "")
	if d.Status == payload.StatusRolledBack {
		// The commit of the record is the one that was taken back.
		f.version, f.versionName = d.PreviousCommitSHA, "previousCommitSha"
	}
	return f
}

func eventFacts(e *payload.Event) facts {
	f := facts{
		deploymentID: e.DeploymentID, service: e.App, environment: e.Environment, version: e.Version,
		errors: e.Error, occurred: e.Timestamp, idName: "deployment_id", serviceName: "app", versionName: "commit.sha",
	}
	if e.Commit != nil && e.Commit.SHA != "" {
		f.version = e.Commit.SHA
	}
	switch e.Type {
	case payload.BuildCompleted:
		f.kind = buildFinished
	case payload.HealthCheckPassed:
		f.kind, f.outcome = suiteFinished, outcomeSuccess
	case payload.DeployStarted, payload.DeployLive, payload.DeployFailed, payload.DeployRolledBack:
		status, _ := e.DeploymentStatus()
		f.setStatus(status, e.PreviousVersion != "")
	default:
		f.kind = customType(e.Type)
	}
	if e.Type == payload.DeployRolledBack {
		f.version, f.versionName = e.PreviousVersion, "previous_version"
		if e.Rollback != nil && e.Rollback.RestoredVersion != "" {
			f.version = e.Rollback.RestoredVersion
		}
	}
	return f
}

// setStatus is the table of the package's documentation.
func (f *facts) setStatus(status payload.Status, replaces bool) {
	switch status {
	case payload.StatusPending:
		f.kind = pipelineQueued
	case payload.StatusInProgress:
		f.kind = pipelineStarted
	case payload.StatusSuccess:
		f.kind = serviceDeployed
		if replaces {
			f.kind = serviceUpgraded
		}
	case payload.StatusFailure:
		f.kind, f.outcome = pipelineFinished, outcomeFailure
	case payload.StatusCancelled:
		f.kind, f.outcome = pipelineFinished, outcomeCancel
	case payload.StatusRolledBack:
		f.kind = serviceRolledBack
	}
}

// subject is the ID of what the event is about.
func (f *facts) subject() string {
	id, _ := f.namedSubject()
	return id
}

// namedSubject also returns the document's member that the ID comes from.
func (f *facts) namedSubject() (id, member string) {
	switch f.kind {
	case serviceDeployed, serviceUpgraded, serviceRolledBack:
		return f.service, f.serviceName
	default:
		return f.deploymentID, f.idName
	}
}

// reference is what CDEvents write for a thing that has an ID of its own.
type reference struct {
	ID     text `json:"id"`
	Source text `json:"source,omitzero"`
}

// content holds the members that the events written and read here have. Which of them have what is in the schemas.
type content struct {
	PipelineName text       `json:"pipelineName,omitzero"`
	TaskName     text       `json:"taskName,omitzero"`
	URI          text       `json:"uri,omitzero"`
	URL          text       `json:"url,omitzero"` // before 0.5
	PipelineRun  *reference `json:"pipelineRun,omitzero"`
	Environment  *reference `json:"environment,omitzero"`
	ArtifactID   text       `json:"artifactId,omitzero"`
	Outcome      text       `json:"outcome,omitzero"`
	Errors       text       `json:"errors,omitzero"`
}

// with takes what only the options say.
func (f *facts) with(o Options) {
	f.pipelineName = either(o.PipelineName, f.pipelineName)
	f.pipelineURL = toURI(either(o.PipelineURL, f.pipelineURL))
	f.errors = either(o.Error, f.errors)
	if f.kind == pipelineStarted && (f.pipelineName == "" || f.pipelineURL == "") {
		f.kind = taskStarted // pipelinerun.started requires both, and neither is to be made up
	}
}

// content makes the subject's content.
func (f *facts) content(o Options, missing *failures) content {
	var c content
	switch f.kind {
	case pipelineQueued, pipelineStarted, pipelineFinished:
		c = content{PipelineName: text(f.pipelineName), URI: text(f.pipelineURL)}
		if f.kind == pipelineFinished {
			c.Outcome, c.Errors = text(f.outcome), text(f.errors)
		}
	case taskStarted:
		c = content{TaskName: deployTask, URI: text(f.pipelineURL), PipelineRun: &reference{ID: text(f.deploymentID)}}
	case buildFinished:
		if o.ArtifactID != "" || f.service != "" && f.version != "" {
			c.ArtifactID = text(f.artifact(o))
		}
	case suiteFinished:
		missing.require("environment", f.environment)
		c = content{Environment: &reference{ID: text(f.environment)}, Outcome: outcomeSuccess}
	case serviceDeployed, serviceUpgraded, serviceRolledBack:
		missing.require("environment", f.environment)
		missing.require(f.serviceName, f.service)
		if o.ArtifactID == "" {
			missing.require(f.versionName, f.version)
		}
		c = content{Environment: &reference{ID: text(f.environment)}, ArtifactID: text(f.artifact(o))}
	}
	return c
}

func (f *facts) artifact(o Options) string {
	if o.ArtifactID != "" {
		return o.ArtifactID
	}
	return newPurl(f.service, f.version)
}

// build writes the event and reads it again: what is returned has passed the checks of every event that arrives.
func build(f facts, o Options, member string, doc []byte) (*Event, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	f.with(o)
	var missing failures
	subject := f.content(o, &missing)
	if id, member := f.namedSubject(); !isClean(id) {
		missing.add(member, cleanText)
	}
	if err := missing.err(); err != nil {
		return nil, fmt.Errorf("cdevents: a %s event cannot be made: %w", f.kind, err)
	}
	var d document
	d.Context.SpecVersion, d.Context.Type = SpecVersion, text(fullType(f.kind))
	d.Context.ID, d.Context.Source = text(o.ID), text(o.Source)
	if o.ID == "" {
		d.Context.ID = text(uuid.Must(uuid.NewV7()).String())
	}
	d.Context.Timestamp = text(f.occurred.UTC().Format(time.RFC3339Nano))
	d.Context.ChainID, d.Subject.ID = text(f.deploymentID), text(f.subject())
	var err error
	if d.Subject.Content, err = json.Marshal(subject); err != nil {
		return nil, fmt.Errorf("cdevents: encode: %w", err)
	}
	head, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("cdevents: encode: %w", err)
	}
	return Parse(attach(head, member, doc))
}

// attach adds a document as customData. It is done by hand, because encoders are free to change white space in it.
func attach(head []byte, member string, doc []byte) []byte {
	out := make([]byte, 0, len(head)+len(doc)+128)
	out = append(out, head[:len(head)-1]...)
	out = append(out, `,"customData":{"`...)
	out = append(out, member...)
	out = append(out, `":`...)
	out = append(out, doc...)
	return append(out, `},"customDataContentType":"application/json"}`...)
}

func (o *Options) check() error {
	var f failures
	f.require("Source", o.Source)
	f.reference("Source", text(o.Source))
	if !isClean(o.ID) {
		f.add("ID", cleanText)
	}
	if _, ok := parsePurl(o.ArtifactID); o.ArtifactID != "" && !ok {
		f.add("ArtifactID", packageURL)
	}
	if o.PipelineURL != "" && toURI(o.PipelineURL) == "" {
		f.add("PipelineURL", "must be a URL")
	}
	if err := f.err(); err != nil {
		return fmt.Errorf("cdevents: options: %w", err)
	}
	return nil
}

func either(first, second string) string {
	if first != "" {
		return first
	}
	return second
}
