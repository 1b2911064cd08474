package cdevents

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/deployhook/deployhook/payload"
)

// Options hold what a CDEvent needs and a document of package payload does not
// have.
type Options struct {
	// Source names the producer of the events. It is a URI-reference (RFC
	// 3986), such as the URL of the pipeline or of the repository. Receivers
	// detect duplicates by source and ID together. Required.
	Source string

	// ID is the event's own ID. The default is the delivery ID of the
	// payload.Event, or else a random UUID. Create the event once, and send the
	// same one in every attempt.
	ID string

	// ArtifactID is the package URL of the deployed artifact. After a rollback
	// it is the artifact that is live again. Use pkg:oci/app@sha256%3A… if the
	// digest is known. The default is pkg:generic/<service>@<version>. There
	// the version is the commit, or the event's version if it has no commit.
	ArtifactID string

	// PipelineName and PipelineURL name the run. The default is that of a
	// payload.Deployment. A payload.Event has none.
	PipelineName, PipelineURL string

	// Error explains to people why a deployment failed. The default is that of
	// a payload.Event. A payload.Deployment has none.
	Error string
}

// FromDeployment creates the CDEvent that reports a deployment's status. The
// package documentation has the mapping table. customData holds the whole
// record, so that [Event.Deployment] can return it.
//
// If a required member is in neither d nor o, the error is a
// [payload.ValidationError] that names the member of d. A successful deployment
// requires environment and service. A rolled back one requires
// previousCommitSha.
func FromDeployment(d *payload.Deployment, o Options) (*Event, error) {
	if d == nil {
		return nil, errors.New("cdevents: d, the deployment, is nil")
	}
	doc, err := d.Encode()
	if err != nil {
		return nil, err
	}
	return build(deploymentFacts(d), o, deploymentMember, doc)
}

// FromEvent creates the CDEvent that reports one step of a deployment. The
// package documentation has the mapping table. customData holds the whole
// event, so that [Event.Event] can return it.
//
// If a required member is in neither e nor o, the error is a
// [payload.ValidationError] that names the member of e. A deploy.live requires
// the commit or the version. A health_check.passed requires the environment.
func FromEvent(e *payload.Event, o Options) (*Event, error) {
	if e == nil {
		return nil, errors.New("cdevents: e, the event, is nil")
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

// facts holds the values for a CDEvent, taken from either document.
type facts struct {
	kind         string
	deploymentID string
	service      string
	environment  string
	version      string // of the artifact; the restored one after a rollback
	outcome      string
	errors       string
	pipelineName string
	pipelineURL  string
	occurred     time.Time

	// the document's members, for errors
	idName, serviceName, versionName string
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
		// The record's commit is the one that was rolled back.
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

// setStatus implements the mapping table of the package documentation.
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

// subject returns the ID of the event's subject.
func (f *facts) subject() string {
	id, _ := f.namedSubject()
	return id
}

// namedSubject returns the ID of the event's subject, and the document's member
// that holds it.
func (f *facts) namedSubject() (id, member string) {
	switch f.kind {
	case serviceDeployed, serviceUpgraded, serviceRolledBack:
		return f.service, f.serviceName
	default:
		return f.deploymentID, f.idName
	}
}

// reference is how CDEvents refer to something that has an ID.
type reference struct {
	ID     text `json:"id"`
	Source text `json:"source,omitzero"`
}

// content holds the members of all events that this package reads and writes.
// The schemas tell which event has which members.
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

// with sets the values that come only from the options.
func (f *facts) with(o Options) {
	f.pipelineName = either(o.PipelineName, f.pipelineName)
	f.pipelineURL = toURI(either(o.PipelineURL, f.pipelineURL))
	f.errors = either(o.Error, f.errors)
	if f.kind == pipelineStarted && (f.pipelineName == "" || f.pipelineURL == "") {
		// pipelinerun.started requires both, and a value must not be invented.
		f.kind = taskStarted
	}
}

// content returns the subject's content.
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

// build encodes the event and parses it again, so that the result has passed
// all checks for received events.
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
		return nil, fmt.Errorf("cdevents: cannot create a %s event: %w", f.kind, err)
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

// attach adds a document as customData. It works on bytes, because an encoder
// may change white space in the document.
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
