package main

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

// report is the deployment to report, as a record and as an event.
type report struct {
	run    *ci.Run
	record payload.Deployment
	event  payload.Type
	state  string // file in which -start stores its time for -finish, or ""
	notes  []string
}

// note adds a note to the final line.
func (r *report) note(format string, args ...any) {
	r.notes = append(r.notes, " ("+fmt.Sprintf(format, args...)+")")
}

// report combines the CI system's data with the flags. Flags win.
func (o *options) report(run *ci.Run) (*report, error) {
	status, event, err := o.outcome(run)
	if err != nil {
		return nil, err
	}
	// Apply the flags to the run first, because the deployment ID depends on
	// them.
	o.override(run)
	run.Status = status
	r := &report{run: run, record: run.Deployment(), event: event}
	if _, known := event.DeploymentStatus(); !known {
		r.note("%s is not a standard event type", event)
	}
	r.record.PreviousCommitSHA = cmp.Or(o.previousCommit, r.record.PreviousCommitSHA)
	// Periscope's records do not have these members, so only flags set them.
	r.record.Version, r.record.RepositoryURL = o.deployVersion, o.repositoryURL
	r.record.ArtifactDigest, r.record.RollbackOf, r.record.IncidentURL = o.artifactDigest, o.rollbackOf, o.incidentURL
	if err := o.setMetadata(&r.record.Metadata); err != nil {
		return nil, err
	}
	return r, o.times(r)
}

// override applies the flags to the run.
func (o *options) override(run *ci.Run) {
	if o.commit != "" && !strings.HasPrefix(run.CommitSHA, strings.ToLower(o.commit)) {
		// These belong to the run's commit, but another one is deployed.
		run.Tag, run.CommitMessage, run.CommitAuthor = "", "", ""
	}
	for _, f := range []struct {
		field *string
		flag  string
	}{
		{&run.DeploymentID, o.deploymentID},
		{&run.CommitSHA, o.commit},
		{&run.Branch, o.branch},
		{&run.Environment, o.environment},
		{&run.Service, o.service},
		{&run.TriggeredBy, o.triggeredBy},
		{&run.PipelineURL, o.pipelineURL},
	} {
		*f.field = cmp.Or(f.flag, *f.field)
	}
}

// problemWith returns why the CI system's value of a field was not used.
func problemWith(run *ci.Run, field string) string {
	for _, p := range run.Problems {
		if p.Field == field {
			return ". " + p.Variable + " " + p.Reason
		}
	}
	return ""
}

// outcome returns the deployment's status and the event type. An event type of
// another platform needs no status.
func (o *options) outcome(run *ci.Run) (payload.Status, payload.Type, error) {
	status, err := o.givenStatus()
	if err != nil {
		return "", "", err
	}
	event := payload.Type(o.event)
	implied, known := event.DeploymentStatus()
	switch {
	case known:
		// The event type decides. A given status is used only if it belongs to
		// that type.
		if of, _ := status.EventType(); of != event {
			status = implied
		}
		return status, event, nil
	case event != "" || status != "":
	case run.Status == "":
		return "", "", usagef("no status; give -status (or set %s)%s", variableOf("status"), problemWith(run, "status"))
	case o.finish && !run.Status.Terminal():
		return "", "", usagef("-finish reports the end of a deployment, but the CI system says that it is %s; give -status (or set %s)",
			run.Status, variableOf("status"))
	default:
		status = run.Status
	}
	if event == "" {
		event, _ = status.EventType()
	}
	return status, event, nil
}

// times sets the start and end times and the ID that -start and -finish share.
func (o *options) times(r *report) error {
	now := time.Now().UTC().Truncate(time.Second)
	d := &r.record
	began := cmp.Or(r.run.StartedAt.UTC(), now)
	if o.start {
		began = now
	}
	if o.start || o.finish {
		r.state = o.statePath(r)
	}
	if o.finish {
		s, err := readState(r.state)
		switch {
		case err == nil:
			d.DeploymentID, began = s.DeploymentID, s.StartedAt
		case d.DeploymentID == "":
			return usagef("-finish: %v; run -start first in the same job, or give -deployment-id to both", err)
		default:
			r.note("the start time is unknown: %v", err)
		}
	}
	d.DeploymentID = cmp.Or(d.DeploymentID, payload.NewDeploymentID())
	if d.Status.Terminal() {
		d.CompletedAt = now
		if began.After(now) {
			r.note("the start time %s is after this machine's time, so the end time is used for both", began.Format(time.RFC3339))
			began = now
		}
	}
	d.StartedAt = began
	return nil
}

// flagsOf returns the flag that sets a member of an event or a record.
func flagsOf(path string) string {
	switch path {
	case "deploymentId", "deployment_id":
		return "deployment-id"
	case "commitSha", "commit.sha":
		return "commit"
	case "previousCommitSha":
		return "previous-commit"
	case "service", "app":
		return "service"
	case "branch", "commit.branch":
		return "branch"
	case "triggeredBy", "triggered_by":
		return "triggered-by"
	case "pipelineUrl":
		return "pipeline-url"
	case "repositoryUrl":
		return "repository-url"
	case "artifactDigest":
		return "artifact-digest"
	case "rollbackOf":
		return "rollback-of"
	case "incidentUrl":
		return "incident-url"
	case "url":
		return "deploy-url"
	case "version":
		return "deploy-version"
	case "previous_version":
		return "previous-version"
	case "environment", "status", "error", "event", "metadata":
		return path
	}
	return ""
}

// explain turns a validation error into a line that names the flag to set and
// the problem with the CI system's value.
func (r *report) explain(err error) error {
	var invalid *payload.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var parts []string
	for _, failure := range invalid.Failures {
		text := failure.String()
		name := flagsOf(failure.Path)
		if name != "" {
			text += fmt.Sprintf("; give -%s (or set %s)", name, variableOf(name))
		}
		for _, p := range r.run.Problems {
			if p.Field == failure.Path || name != "" && flagsOf(p.Field) == name {
				text += fmt.Sprintf(" (%s: %s)", p.Variable, p.Reason)
			}
		}
		parts = append(parts, text)
	}
	return usageError{strings.Join(parts, "; ")}
}

// failureReason returns -error, or a default for failures.
func (o *options) failureReason(r *report) string {
	switch {
	case o.reason != "" || r.event != payload.DeployFailed:
		return o.reason
	case r.record.Status == payload.StatusCancelled:
		return "deployment cancelled"
	}
	return "the pipeline reported a failure"
}

// asEvent returns the event that reports the deployment, validated by the rules
// of its type.
func (r *report) asEvent(o *options) (*payload.Event, error) {
	d := &r.record
	e := r.run.Event(r.event)
	e.DeploymentID, e.Status = d.DeploymentID, d.Status
	e.Version = cmp.Or(o.deployVersion, e.Version)
	e.PreviousVersion, e.URL = o.previousVersion, cmp.Or(o.deployURL, e.URL)
	e.Error = o.failureReason(r)
	switch {
	case r.event == payload.DeployStarted:
		e.Timestamp = d.StartedAt
	case d.Status.Terminal():
		e.Timestamp = d.CompletedAt
	default:
		e.Timestamp = time.Now().UTC().Truncate(time.Second)
	}
	// An event has no member for the start time, but its readers want it.
	if err := e.Metadata.Set("started_at", d.StartedAt.Format(time.RFC3339)); err != nil {
		return nil, err
	}
	if err := o.setMetadata(&e.Metadata); err != nil {
		return nil, err
	}
	if err := e.Validate(); err != nil {
		return nil, r.explain(err)
	}
	return &e, nil
}
