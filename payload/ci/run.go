package ci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
)

// Environment is all that [Detect] looks at. Nothing else is read: no process environment, no file, no command.
type Environment struct {
	// Getenv returns the value of a variable, and "" for one that is not set: os.Getenv. Required.
	Getenv func(name string) string

	// Files is the file system rooted at "/", os.DirFS("/"): where a system's variables point to a file, it is read
	// here. Nil: such files are not read, which costs the commit of a pull request on GitHub Actions, and on TeamCity
	// the branch and the build's ID.
	Files fs.FS

	// Git runs git in the work tree and returns its standard output. Nil: git is not asked.
	Git func(ctx context.Context, args ...string) (string, error)
}

// A Run is what could be learnt about the run of a pipeline. Whatever is not known is empty and listed in Missing. The
// fields may be changed before Deployment or Event is called: that is how a program's flags come in.
type Run struct {
	// System is the CI system's key, such as "github-actions"; "git" if no system was found and git answered; "" if
	// nothing did.
	System string
	// Name is the CI system's name, such as "GitHub Actions".
	Name string
	// Platform is true for the hosting platforms at the end of the table: their variables are also there when the app
	// itself runs, so they do not prove that this is a build.
	Platform bool

	// DeploymentID identifies this deployment. [Run.Deployment] has its form and what
	// it depends on.
	DeploymentID string
	// CommitSHA is the commit that is deployed: 7 to 40 or 64 lower-case hexadecimal digits. In a pull request it is
	// the head of the source branch, not the merge commit that CI systems make.
	CommitSHA string
	// PreviousCommitSHA is the commit that the last successful deployment had. Of all systems only Vercel tells; the
	// previous commit of the branch, which many tell, is another thing and in Metadata.
	PreviousCommitSHA string
	// Branch has no refs/heads/ or origin/ and is never a tag; in a pull request it is the source branch.
	Branch string
	// Tag is set in builds of a tag.
	Tag string
	// Environment is where this deploys to, in the system's own words.
	Environment string
	// Service is the repository's name without its owner; where no repository is known, the system's project or app.
	Service string
	// TriggeredBy is a login where the system has logins, else a display name, a UUID or the name of a trigger.
	TriggeredBy string
	// PipelineName is the name of the pipeline or workflow.
	PipelineName string
	// PipelineURL is where the system shows this run: http or https, without user name, password or token.
	PipelineURL string
	// Repository is the repository's path, such as "acme/shop", without host.
	Repository string

	// Status is how the run stands so far, where the system tells; a later step may still fail. Some systems say
	// success from the first step on.
	Status payload.Status
	// StartedAt is when the job, else the run, was started, where the system tells.
	StartedAt time.Time

	// Attempt counts from "1" where the system counts attempts.
	Attempt string
	// Job is the system's ID of the job, else its name.
	Job string
	// IsPullRequest is true in builds of a pull request, merge request or change.
	IsPullRequest bool
	// PullRequest is its number, if that is known.
	PullRequest int
	// Action is what a GitLab job does with its environment: "start", or "stop", "prepare", "verify", "access", which
	// are no deployments and reported in Problems.
	Action string
	// AppURL is where the deployed app answers, where the system tells.
	AppURL string
	// CommitMessage is the commit's message where it is known, at most 4096 bytes of it.
	CommitMessage string
	// CommitAuthor is the name of the commit's author where it is known.
	CommitAuthor string

	// Missing are the JSON names of the fields of [payload.Deployment] that could not be determined, in the order of
	// that struct. branch is not missing in the build of a tag.
	Missing []string
	// Problems are values that were there and could not be used.
	Problems []Problem
	// Metadata are values that have no field in a deployment and are worth keeping.
	Metadata payload.Metadata

	run             string // the system's ID of the run, or its number with what it counts in
	detected        string // DeploymentID as Detect set it, to tell whether the caller has set another
	detectedService string // Service, likewise
}

// A Problem is a value that was there and could not be used.
type Problem struct {
	// Field is the JSON name of the field of [payload.Deployment] that the value was meant for; "url" for AppURL, which
	// only an event has.
	Field string
	// Variable is where the value came from: an environment variable, or "git".
	Variable string
	// Reason says what is wrong and what to do. It never repeats the value.
	Reason string
}

// String is one line for a log.
func (p Problem) String() string { return p.Field + ": " + p.Variable + " " + p.Reason }

// Deployment returns the record with what is known. It is not validated: as a rule the environment, the status and the
// start are still the caller's to give, on the Run before or on the result.
//
// Unless the caller has set DeploymentID, it is
//
//	system:run:attempt:job:environment:service
//	github-actions:1658821493:2:deploy:production
//	github-actions:1658821493:2:deploy:production:web
//
// with "-" for what the system does not tell, and without trailing ones. The
// service counts if the caller has set another one than Detect found.
//
// The ID is the same in all steps of a job that set the same Environment and
// Service. It differs between attempts, jobs, environments and services. The legs
// of a matrix have different IDs where the system has a variable for them. GitHub,
// Gitea, Forgejo and Jenkins have none: there, set Service or DeploymentID in every
// step that reports, or the legs overwrite each other's record. Run.Problems says
// so.
//
// In each part, bytes other than letters, digits and ._~/@+ are written as %XX. An
// ID beyond 255 bytes is cut, and ends in "~" and a hash of the whole. Where the
// system does not identify the run there is no ID, because a commit or a time would
// merge or split deployments.
//
// The tag is the Version. Of a SHA-256 commit the record gets what
// [payload.Deployment.SetCommit] says.
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

// Event returns an event of type t with what is known. It is not validated: Timestamp is set only where t is
// deploy.started and the system tells the start, Status only where it belongs to t, and what else t requires, such as
// Error, is the caller's. DeploymentID is that of [Run.Deployment]. The tag is the Version; the pipeline's name and
// URL, for which an event has no fields, go into the metadata as pipeline_name and pipeline_url.
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

// with returns m with one member more. The caller may have put anything into the fields: what is no valid UTF-8 is left
// out here, and found by Validate in the field that has it.
func with(m payload.Metadata, name, value string) payload.Metadata {
	if value != "" {
		_ = m.Set(name, value)
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
			part = "%2D" // not to be taken for one that is not there
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

// missing lists the fields that are empty.
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
