package jenkins

import (
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const (
	queued    = "QUEUED"
	started   = "STARTED"
	completed = "COMPLETED"
	finalized = "FINALIZED"

	unstable = "UNSTABLE"
)

// results maps Jenkins' results of a build.
var results = map[string]payload.Status{
	"SUCCESS":   payload.StatusSuccess,
	unstable:    payload.StatusSuccess,
	"FAILURE":   payload.StatusFailure,
	"ABORTED":   payload.StatusCancelled,
	"NOT_BUILT": payload.StatusCancelled,
}

const noCommit = "jobs without git have none; look it up in WithComplete"

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	build := event.Get("build")
	phase := build.Get("phase").Text()
	commit := build.Get("scm", "commit")
	switch phase {
	case queued, started:
		if !commit.Exists() {
			return inbound.Ignore("the build has no commit yet in phase %s", phase)
		}
		b.Status = payload.StatusInProgress
		if phase == queued {
			b.Status = payload.StatusPending
		}
		b.SetMeta(inbound.MetaStatus, phase)
	case completed, finalized:
		c.mapResult(b, build)
	default:
		return inbound.Ignore("build.phase is %s", inbound.Quote(phase))
	}
	b.DeploymentID = strings.Trim(b.ID("deploymentId", build.Get("url")), "/")
	b.Service = b.Text("service", event.Get("name"))
	b.Environment = c.environment
	if c.parameter != "" {
		if name := b.Text("environment", build.Get("parameters", c.parameter)); name != "" {
			b.Environment = name
		}
	}
	b.Commit(noCommit, commit)
	b.Branch = inbound.Branch(strings.TrimPrefix(b.Text("branch", build.Get("scm", "branch")), "origin/"), b.CommitSHA)
	b.PipelineName = b.Text("pipelineName", event.Get("display_name"), event.Get("name"))
	b.PipelineURL = b.URL("pipelineUrl", build.Get("full_url"))
	if link := build.Get("scm", "url"); strings.HasPrefix(link.Text(), "http") {
		b.RepositoryURL = b.URL("repositoryUrl", link)
	}
	mapTimes(b, build, phase)
	b.SetMeta("phase", phase)
	b.Meta("number", build.Get("number"))
	b.Meta("notes", build.Get("notes"))
	return nil
}

func (c *config) mapResult(b *inbound.Builder, build inbound.Node) {
	if b.Lookup(results, build.Get("status")) != unstable {
		return
	}
	b.SetMeta("partial", true)
	if c.partialFailure {
		b.Status = payload.StatusFailure
	}
}

// mapTimes takes the start from the time of the phase. In COMPLETED, that is
// the start and the duration. In FINALIZED it is a later moment.
func mapTimes(b *inbound.Builder, build inbound.Node, phase string) {
	at := build.Get("timestamp")
	moment := phaseTime(b, at)
	switch {
	case moment.IsZero():
		b.Unknown("startedAt", "this version of the plugin sends no time; set it in WithComplete")
		b.Unknown("completedAt", "this version of the plugin sends no time; set it in WithComplete")
	case phase == completed:
		b.StartedAt = moment.Add(-b.Duration(build.Get("duration")))
		b.From("startedAt", build.Get("duration"))
	}
	b.At(moment, at, !b.Status.Terminal())
}

// phaseTime reads milliseconds, or the text that older versions of the plugin
// send.
func phaseTime(b *inbound.Builder, n inbound.Node) time.Time {
	if n.Kind() == payload.KindString {
		return b.Time("startedAt", n)
	}
	return b.Millis("startedAt", n)
}
