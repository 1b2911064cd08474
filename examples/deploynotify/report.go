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

// report is what is going to be said: the record of the deployment, and what an event carries beyond it.
type report struct {
	run    *ci.Run
	record payload.Deployment
	base   payload.Event
	event  payload.Type // empty: the one that the record's status implies
	note   string       // for the line at the end
}

// report joins what the CI system says with what the flags say; a flag wins.
func (o *options) report(run *ci.Run) (*report, error) {
	// Before Deployment, since the environment is part of the ID that it makes: one run may deploy to several.
	run.Environment = cmp.Or(o.environment, run.Environment)
	r := &report{run: run, record: run.Deployment(), event: payload.Type(o.event)}
	d := &r.record
	d.DeploymentID = cmp.Or(o.deploymentID, d.DeploymentID)
	d.CommitSHA = cmp.Or(o.commit, d.CommitSHA)
	d.PreviousCommitSHA = cmp.Or(o.previousCommit, d.PreviousCommitSHA)
	d.Branch = cmp.Or(o.branch, d.Branch)
	d.Service = cmp.Or(o.service, d.Service)
	d.TriggeredBy = cmp.Or(o.triggeredBy, d.TriggeredBy)
	d.PipelineURL = cmp.Or(o.pipelineURL, d.PipelineURL)
	if err := o.setMetadata(&d.Metadata); err != nil {
		return nil, err
	}
	var err error
	if d.Status, err = o.statusOf(run); err != nil {
		return nil, err
	}
	if err := o.times(r); err != nil {
		return nil, err
	}
	r.base = payload.Event{
		Error: o.reason, Version: o.deployVersion, PreviousVersion: o.previousVersion, URL: o.deployURL,
		Commit: &payload.Commit{Message: run.CommitMessage, Author: run.CommitAuthor},
	}
	if d.Status == payload.StatusFailure && r.base.Error == "" {
		r.base.Error = "the pipeline reported a failure"
	}
	return r, nil
}

// statusOf reads -status, which may be in the CI system's own words, or asks the run.
func (o *options) statusOf(run *ci.Run) (payload.Status, error) {
	switch {
	case o.start:
		return payload.StatusInProgress, nil
	case o.status != "":
		status, ok := ci.ParseStatus(o.status)
		if !ok {
			return "", usagef("-status %.40q: want pending, in_progress, success, failure, cancelled or rolled_back, or what your CI system calls it", o.status)
		}
		return status, nil
	case o.event != "":
		if status, ok := payload.Type(o.event).DeploymentStatus(); ok {
			return status, nil
		}
	case run.Status != "":
		return run.Status, nil
	}
	return "", usagef("no status: give -status (or set %s)", twin("status"))
}

// times sets when it started and ended, and the ID that -start and -finish share.
func (o *options) times(r *report) error {
	now := time.Now().UTC().Truncate(time.Second)
	d := &r.record
	began := cmp.Or(r.run.StartedAt.UTC(), now)
	if o.start {
		began = now
	}
	if o.start || o.finish {
		path := o.statePath(r)
		if o.start {
			d.DeploymentID = cmp.Or(d.DeploymentID, payload.NewDeploymentID())
			if o.dryRun {
				r.note = " (-finish will not know of a dry run)"
			} else if err := writeState(path, state{DeploymentID: d.DeploymentID, StartedAt: now}); err != nil {
				r.note = fmt.Sprintf(" (-finish will not know when it began: %v)", err)
			}
		} else if s, err := readState(path); err == nil {
			d.DeploymentID, began = s.DeploymentID, s.StartedAt
		} else if d.DeploymentID == "" {
			return usagef("-finish: %v; run -start first in the same job, or give -deployment-id to both", err)
		} else {
			r.note = " (when it began is not known: no -start in this job)"
		}
	}
	d.DeploymentID = cmp.Or(d.DeploymentID, payload.NewDeploymentID())
	d.StartedAt = began
	if d.Status.Terminal() {
		d.CompletedAt = now
	}
	return nil
}

// flagsOf names the flag that fills a member of either document.
var flagsOf = map[string]string{
	"deploymentId": "-deployment-id", "deployment_id": "-deployment-id", "commitSha": "-commit", "commit.sha": "-commit",
	"previousCommitSha": "-previous-commit", "environment": "-environment", "status": "-status", "service": "-service", "app": "-service",
	"branch": "-branch", "commit.branch": "-branch", "triggeredBy": "-triggered-by", "triggered_by": "-triggered-by",
	"pipelineUrl": "-pipeline-url", "url": "-deploy-url", "version": "-deploy-version", "previous_version": "-previous-version",
	"error": "-error", "event": "-event",
}

// explain turns a validation error into a line that says which flag to give, and what the CI system had there.
func (r *report) explain(err error) error {
	var invalid *payload.ValidationError
	if !errors.As(err, &invalid) {
		return err
	}
	var parts []string
	for _, failure := range invalid.Failures {
		text := failure.String()
		if flagName, ok := flagsOf[failure.Path]; ok {
			text += fmt.Sprintf(": give %s (or set %s)", flagName, twin(strings.TrimPrefix(flagName, "-")))
		}
		for _, p := range r.run.Problems {
			if p.Field == failure.Path || flagsOf[p.Field] != "" && flagsOf[p.Field] == flagsOf[failure.Path] {
				text += fmt.Sprintf(" (%s: %s)", p.Variable, p.Reason)
			}
		}
		parts = append(parts, text)
	}
	return usageError{strings.Join(parts, "; ")}
}

// asEvent is the event that reports the record's status, or the type that -event names.
func (r *report) asEvent() (*payload.Event, error) {
	e, err := r.record.Event(r.base)
	if err != nil {
		return nil, r.explain(err)
	}
	// An event has no members for these two, and its readers want them.
	for name, value := range map[string]string{"pipeline_url": r.record.PipelineURL, "started_at": r.record.StartedAt.Format(time.RFC3339)} {
		if _, given := e.Metadata.Get(name); value != "" && !given {
			if err := e.Metadata.Set(name, value); err != nil {
				return nil, err
			}
		}
	}
	if r.event != "" {
		e.Type, e.Timestamp = r.event, time.Now().UTC().Truncate(time.Second)
	}
	if err := e.Validate(); err != nil {
		return nil, r.explain(err)
	}
	return e, nil
}

// what is the deployment in a few words.
func (r *report) what() string {
	return fmt.Sprintf("%s of %s to %s", r.record.Status, cmp.Or(r.record.Service, "(no service)"), cmp.Or(r.record.Environment, "(no environment)"))
}
