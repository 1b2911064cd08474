package ci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/deployhook/deployhook/payload"
)

// Environment gives [Detect] its inputs. Detect reads no other variable or file
// and runs no other command.
type Environment struct {
	// Getenv returns the value of a variable, and "" for one that is not set.
	// Use os.Getenv. Required.
	Getenv func(name string) string

	// Files is the file system rooted at "/", as in os.DirFS("/"). Detect reads
	// the files there to which a system's variables point. If Files is nil,
	// Detect reads no files. GitHub Actions then lacks the commit of a pull
	// request, and TeamCity lacks the branch and the build's ID.
	Files fs.FS

	// Git runs git in the work tree and returns its standard output. If Git is
	// nil, Detect does not use git.
	Git func(ctx context.Context, args ...string) (string, error)
}

// A Run holds what Detect learned about the run of a pipeline. Unknown fields
// are empty, and Missing lists them. Programs may change fields before they
// call Deployment or Event, for example to apply their flags.
type Run struct {
	// System is the CI system's key, such as "github-actions". It is "git" if
	// no system was found and git answered, and "" if git did not answer
	// either.
	System string
	// Name is the CI system's name, such as "GitHub Actions".
	Name string
	// Platform is true for the hosting platforms at the end of the table. Their
	// variables are also set in the running app, so they do not prove that this
	// is a build.
	Platform bool

	// DeploymentID identifies this deployment. See [Run.Deployment] for its
	// format.
	DeploymentID string
	// CommitSHA is the deployed commit in 7 to 40 or 64 lower-case hexadecimal
	// digits. In a pull request it is the head of the source branch, not the
	// merge commit that CI systems make.
	CommitSHA string
	// PreviousCommitSHA is the commit of the last successful deployment. Only
	// Vercel provides it. Many systems provide the previous commit of the
	// branch, which is in Metadata instead.
	PreviousCommitSHA string
	// Branch has no refs/heads/ or origin/ prefix and is never a tag. In a pull
	// request it is the source branch.
	Branch string
	// Tag is set in builds of a tag.
	Tag string
	// Environment is the deployment target, in the system's own words.
	Environment string
	// Service is the repository's name without its owner. Without a known
	// repository it is the system's project or app.
	Service string
	// TriggeredBy is a login if the system has logins. Otherwise it is a
	// display name, a UUID or the name of a trigger.
	TriggeredBy string
	// PipelineName is the name of the pipeline or workflow.
	PipelineName string
	// PipelineURL is the page of this run in the CI system. It uses http or
	// https and has no user name, password or token.
	PipelineURL string
	// Repository is the repository's path without the host, such as
	// "acme/shop".
	Repository string

	// Status is the state of the run so far, if the system tells it. A later
	// step may still fail. Some systems report success from the first step on.
	Status payload.Status
	// StartedAt is the start of the job or, failing that, of the run, if the
	// system tells it.
	StartedAt time.Time

	// Attempt counts from "1" if the system counts attempts.
	Attempt string
	// Job is the system's ID of the job or, failing that, its name.
	Job string
	// IsPullRequest is true in builds of a pull request, merge request or
	// change.
	IsPullRequest bool
	// PullRequest is its number, if known.
	PullRequest int
	// Action is a GitLab job's environment action. It is "start", "stop",
	// "prepare", "verify" or "access". All except "start" do not deploy and are
	// reported in Problems.
	Action string
	// AppURL is the address of the deployed app, if the system tells it.
	AppURL string
	// CommitMessage is the commit's message, if known, cut to 4096 bytes.
	CommitMessage string
	// CommitAuthor is the name of the commit's author, if known.
	CommitAuthor string

	// Missing lists the JSON names of the fields of [payload.Deployment] that
	// are still unknown, in the order of that struct. A build of a tag has no
	// branch, so branch is not listed there.
	Missing []string
	// Problems lists values that were set but unusable.
	Problems []Problem
	// Metadata holds useful values that have no field in a deployment.
	Metadata payload.Metadata

	// run is the system's ID of the run, or its number with the repository in
	// which it counts.
	run string
	// detected and detectedService are DeploymentID and Service as Detect set
	// them. They tell whether the caller has changed the fields.
	detected        string
	detectedService string
}

// A Problem is a value that was set but unusable.
type Problem struct {
	// Field is the JSON name of the field of [payload.Deployment] for which the
	// value was meant. It is "url" for AppURL, which only an event has.
	Field string
	// Variable is the source of the value. It is an environment variable or
	// "git".
	Variable string
	// Reason says what is wrong and what to do. It never repeats the value.
	Reason string
}

// String returns one line for a log.
func (p Problem) String() string { return p.Field + ": " + p.Variable + " " + p.Reason }

// Deployment returns the record with everything that is known. The record is
// not validated, because the environment, the status and the start are usually
// missing. Set them on the Run before the call or on the result.
//
// Unless the caller has set DeploymentID, it has this form:
//
//	system:run:attempt:job:environment:service
//	github-actions:1658821493:2:deploy:production
//	github-actions:1658821493:2:deploy:production:web
//
// Parts that the system does not tell are "-", and trailing ones are left out.
// The service is part of the ID only if the caller has changed it.
//
// The ID is the same in all steps of a job that set the same Environment and
// Service. It differs between attempts, jobs, environments and services. The
// legs of a matrix have different IDs if the system has a variable for them.
// GitHub, Gitea, Forgejo and Jenkins have no such variable, so the legs would
// overwrite each other's record. On these systems, set Service or DeploymentID
// in every step that reports. Run.Problems warns about this case.
//
// Bytes other than letters, digits and ._~/@+ are written as %XX in each part.
// An ID of more than 255 bytes is cut and ends in "~" and a hash of the whole
// ID. If the system does not identify the run, there is no ID. An ID made from
// a commit or a time would merge or split deployments.
//
// Version is the tag. [payload.Deployment.SetCommit] describes how SHA-256
// commits are stored.
func (r *Run) Deployment() payload.Deployment {
	d := payload.Deployment{
		DeploymentID: r.deploymentID(), CommitSHA: r.CommitSHA, PreviousCommitSHA: r.PreviousCommitSHA,
		Environment: r.Environment, Status: r.Status, StartedAt: r.StartedAt, Service: r.Service, Branch: r.Branch,
		TriggeredBy: r.TriggeredBy, PipelineName: r.PipelineName, PipelineURL: r.PipelineURL, Version: r.Tag,
		Metadata: r.Metadata,
	}
	d.SetCommit(r.CommitSHA)
	return d
}

// Event returns an event of type t with everything that is known. The event is
// not validated.
//
//	Timestamp      set only for deploy.started, if the system tells the start
//	Status         set only if it is valid for t
//	DeploymentID   that of Run.Deployment
//	Version        the tag
//	Metadata       also has pipeline_name and pipeline_url, because events
//	               have no fields for them
//
// The caller sets all other fields that t requires, such as Error.
func (r *Run) Event(t payload.Type) payload.Event {
	e := payload.Event{
		Type: t, DeploymentID: r.deploymentID(), App: r.Service, Environment: r.Environment, TriggeredBy: r.TriggeredBy,
		URL: r.AppURL, Version: r.Tag, Metadata: r.Metadata,
	}
	if r.CommitSHA != "" || r.Branch != "" {
		e.Commit = &payload.Commit{
			SHA: r.CommitSHA, Message: r.CommitMessage, Author: r.CommitAuthor, Branch: r.Branch,
		}
	}
	if of, ok := r.Status.EventType(); ok && of == t {
		e.Status = r.Status
	}
	if t == payload.DeployStarted {
		e.Timestamp = r.StartedAt
	}
	e.Metadata = with(e.Metadata, "pipeline_name", r.PipelineName)
	e.Metadata = with(e.Metadata, "pipeline_url", r.PipelineURL)
	return e
}

// with returns m with one more member. The caller may have set the fields to
// any text. with replaces invalid UTF-8, since these members only inform.
func with(m payload.Metadata, name, value string) payload.Metadata {
	if value != "" {
		_ = m.Set(name, strings.ToValidUTF8(value, string(utf8.RuneError))) // valid text is always valid metadata
	}
	return m
}

func (r *Run) deploymentID() string {
	if r.DeploymentID != r.detected {
		return r.DeploymentID
	}
	return r.id()
}

// id builds the ID that the comment on Deployment describes.
func (r *Run) id() string {
	if r.run == "" {
		return ""
	}
	id := r.System
	service := r.Service
	if service == r.detectedService {
		service = ""
	}
	for _, part := range []string{r.run, r.Attempt, r.Job, r.Environment, service} {
		switch part {
		case "":
			part = "-"
		case "-":
			part = "%2D" // escaped, so that it differs from a missing part
		default:
			part = escape(part, "-._~/@+")
		}
		id += ":" + part
	}
	for strings.HasSuffix(id, ":-") {
		id = strings.TrimSuffix(id, ":-")
	}
	if len(id) > maxID {
		sum := sha256.Sum256([]byte(id))
		end := "~" + hex.EncodeToString(sum[:16])
		id = id[:maxID-len(end)] + end
	}
	return id
}

// missing lists the empty fields.
func missing(r *Run) []string {
	var names []string
	for _, field := range []struct {
		name  string
		known bool
	}{
		{"deploymentId", r.DeploymentID != ""},
		{"commitSha", r.CommitSHA != ""},
		{"environment", r.Environment != ""},
		{"status", r.Status != ""},
		{"startedAt", !r.StartedAt.IsZero()},
		{"service", r.Service != ""},
		{"branch", r.Branch != "" || r.Tag != ""},
		{"previousCommitSha", r.PreviousCommitSHA != ""},
		{"triggeredBy", r.TriggeredBy != ""},
		{"pipelineName", r.PipelineName != ""},
		{"pipelineUrl", r.PipelineURL != ""},
	} {
		if !field.known {
			names = append(names, field.name)
		}
	}
	return names
}
