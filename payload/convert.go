package payload

import (
	"fmt"
	"time"
)

// DeploymentStatus returns what an event of type t says about its deployment as a whole, and false if t is none of the
// known types. A completed build or a passed health check leaves a deployment in progress.
func (t Type) DeploymentStatus() (Status, bool) {
	switch t {
	case DeployStarted, BuildCompleted, HealthCheckPassed:
		return StatusInProgress, true
	case DeployLive:
		return StatusSuccess, true
	case DeployFailed:
		return StatusFailure, true
	case DeployRolledBack:
		return StatusRolledBack, true
	default:
		return "", false
	}
}

// EventType returns the type of the event that reports a deployment's status, and false if s is none of the six.
// Pending and in_progress are a deploy.started, failure and cancelled a deploy.failed; the event's own status tells
// them apart.
func (s Status) EventType() (Type, bool) {
	switch s {
	case StatusPending, StatusInProgress:
		return DeployStarted, true
	case StatusSuccess:
		return DeployLive, true
	case StatusFailure, StatusCancelled:
		return DeployFailed, true
	case StatusRolledBack:
		return DeployRolledBack, true
	default:
		return "", false
	}
}

// DeploymentStatus returns what the event says about its deployment as a whole. The type decides; Event.Status only
// chooses between pending and in_progress for a deploy.started and between failure and cancelled for a deploy.failed.
// For types that are not known, it is Event.Status, and false if that is none of the six either.
func (e *Event) DeploymentStatus() (Status, bool) {
	status, known := e.Type.DeploymentStatus()
	if !known {
		return e.Status, e.Status.Known()
	}
	if t, ok := e.Status.EventType(); ok && t == e.Type {
		return e.Status, true
	}
	return status, true
}

// Deployment turns an event into the record of its deployment. Where base has a field that the event lacks, the result
// has base's: pass the record so far, or the fields that the events do not carry.
//
//	Event                     Deployment
//	deployment_id             deploymentId
//	app                       service
//	environment               environment
//	commit.sha                commitSha
//	commit.branch             branch
//	triggered_by              triggeredBy
//	version                   version
//	metadata                  metadata
//	event, status             status, by Event.DeploymentStatus
//	timestamp                 startedAt if the event is a deploy.started, else completedAt if the status is terminal
//
// What is in the table is lossless there and back. The rest has no counterpart: url is where the app answers and
// pipelineUrl where the CI system shows the run, previous_version is a version and previousCommitSha a commit. Those
// fields of the result are base's, Extra included. Only a deploy.started says when the deployment started, so
// for all other events base.StartedAt has to. It is an error, which names the field, if the result is not valid.
//
// Of a SHA-256 commit the record gets what [Deployment.SetCommit] says.
//
// Deployment does not look at what base.Status was: ask [Status.Transition] first whether the event is stale. It
// changes neither e nor base.
func (e *Event) Deployment(base Deployment) (*Deployment, error) {
	d := base
	d.DeploymentID = either(e.DeploymentID, base.DeploymentID)
	d.Service = either(e.App, base.Service)
	d.Environment = either(e.Environment, base.Environment)
	d.TriggeredBy = either(e.TriggeredBy, base.TriggeredBy)
	d.Version = either(e.Version, base.Version)
	if !e.Metadata.IsZero() {
		d.Metadata = e.Metadata
	}
	if e.Commit != nil {
		d.SetCommit(either(e.Commit.SHA, base.CommitSHA))
		d.Branch = either(e.Commit.Branch, base.Branch)
	}
	if status, ok := e.DeploymentStatus(); ok {
		d.Status = status
	}
	switch {
	case e.Type == DeployStarted:
		d.StartedAt = e.Timestamp
	case d.Status.Terminal():
		d.CompletedAt = e.Timestamp
	}
	if err := d.Validate(); err != nil {
		return nil, fmt.Errorf("payload: event as a deployment: fill what the event lacks through base: %w", err)
	}
	return &d, nil
}

// Event turns the record of a deployment into the event that reports its status. Where base has a field that the record
// lacks, the result has base's: Error for a failure, PreviousVersion for a rollback, Commit.Message, URL and so on. The
// table of [Event.Deployment] holds in this direction as well, with
//
//	Deployment                Event
//	status                    event by Status.EventType, and status
//	startedAt                 timestamp while the status is pending or in_progress
//	completedAt               timestamp once it is terminal
//
// base.Type and base.Timestamp are not used. A deployment that was cancelled needs no base.Error: the event's error is
// then "deployment cancelled". It is an error, which names the field, if the result is not valid.
//
// Event changes neither d nor base.
func (d *Deployment) Event(base Event) (*Event, error) {
	e := base
	e.DeploymentID = either(d.DeploymentID, base.DeploymentID)
	e.App = either(d.Service, base.App)
	e.Environment = either(d.Environment, base.Environment)
	sha, metadata := d.wholeCommit()
	e.Commit = d.commit(sha, base.Commit)
	e.TriggeredBy = either(d.TriggeredBy, base.TriggeredBy)
	e.Version = either(d.Version, base.Version)
	if !metadata.IsZero() {
		e.Metadata = metadata
	}
	e.Type, _ = d.Status.EventType()
	e.Status, e.Timestamp = d.Status, d.moment()
	if d.Status == StatusCancelled {
		e.Error = either(base.Error, "deployment cancelled")
	}
	if err := e.Validate(); err != nil {
		return nil, fmt.Errorf("payload: deployment as an event: fill what the deployment lacks through base: %w", err)
	}
	return &e, nil
}

// commit lays the record's commit over base, which stays as it is.
func (d *Deployment) commit(sha string, base *Commit) *Commit {
	if sha == "" && d.Branch == "" {
		return base
	}
	var c Commit
	if base != nil {
		c = *base
	}
	c.SHA = either(sha, c.SHA)
	c.Branch = either(d.Branch, c.Branch)
	return &c
}

// moment is when the deployment reached its status.
func (d *Deployment) moment() time.Time {
	if d.Status.Terminal() {
		return d.CompletedAt
	}
	return d.StartedAt
}

func either(first, second string) string {
	if first != "" {
		return first
	}
	return second
}
