package payload

import (
	"fmt"
	"time"
)

// DeploymentStatus returns the status of the whole deployment after an event of
// type t. It returns false if t is not one of the known types. A completed
// build or a passed health check leaves a deployment in progress.
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

// EventType returns the type of the event that reports status s. It returns
// false if s is not one of the six statuses. Pending and in_progress share
// deploy.started, and failure and cancelled share deploy.failed. The event's
// own status tells them apart.
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

// DeploymentStatus returns the status of the whole deployment after the event.
//
//	Type             Result
//	deploy.started   pending if Event.Status says so, else in_progress
//	deploy.failed    cancelled if Event.Status says so, else failure
//	other known      Type.DeploymentStatus
//	unknown          Event.Status; false if it is not one of the six
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

// Deployment converts an event into the record of its deployment. Fields that
// the event lacks come from base, so pass the record so far or the fields that
// events do not carry.
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
//	timestamp                 startedAt of a deploy.started event
//	timestamp                 completedAt if the status is terminal
//
// The fields in the table convert without loss in both directions. All other
// fields of the result, Extra included, are base's, because they have no
// counterpart:
//
//   - url is the address of the app, while pipelineUrl is the page of the run
//     in the CI system.
//   - previous_version is a version, while previousCommitSha is a commit.
//
// Only a deploy.started event tells when the deployment started. For all other
// events, base.StartedAt must be set. If the result is invalid, Deployment
// returns an error that names the field.
//
// [Deployment.SetCommit] describes how SHA-256 commits are stored.
//
// Deployment does not look at base.Status. Call [Status.Transition] first to
// learn whether the event is stale. Deployment changes neither e nor base.
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
		return nil, fmt.Errorf("payload: converting the event to a deployment: set the fields that the event lacks in base: %w", err)
	}
	return &d, nil
}

// Event converts the record of a deployment into the event that reports its
// status. Fields that the record lacks come from base, such as Error for a
// failure, PreviousVersion for a rollback, Commit.Message and URL. The table of
// [Event.Deployment] also holds in this direction, with these additions:
//
//	Deployment                Event
//	status                    event by Status.EventType, and status
//	startedAt                 timestamp if the status is not terminal
//	completedAt               timestamp if the status is terminal
//
// Event does not use base.Type and base.Timestamp. A cancelled deployment needs
// no base.Error, since the event's error defaults to "deployment cancelled". If
// the result is invalid, Event returns an error that names the field.
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
		return nil, fmt.Errorf("payload: converting the deployment to an event: set the fields that the deployment lacks in base: %w", err)
	}
	return &e, nil
}

// commit returns a copy of base with the record's commit and branch. It does
// not change base.
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

// moment returns the time at which the deployment reached its status.
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
