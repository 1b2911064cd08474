package circleci

import (
	"slices"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// statuses maps the statuses of a completed workflow. An unauthorized one was
// not allowed to start.
var statuses = map[string]payload.Status{
	"success":      payload.StatusSuccess,
	"failed":       payload.StatusFailure,
	"error":        payload.StatusFailure,
	"canceled":     payload.StatusCancelled,
	"unauthorized": payload.StatusCancelled,
}

const noCommit = "pipelines without a repository have none; look it up in WithComplete"

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	kind, workflow := event.Get("type").Text(), event.Get("workflow")
	if kind != "workflow-completed" {
		return inbound.Ignore("type is %s", inbound.Quote(kind))
	}
	if name := workflow.Get("name").Text(); c.workflows != nil && !slices.Contains(c.workflows, name) {
		return inbound.Ignore("WithWorkflows does not name the workflow %s", inbound.Quote(name))
	}
	b.Lookup(statuses, workflow.Get("status"))
	b.DeploymentID = b.ID("deploymentId", workflow.Get("id"))
	b.Service = b.Text("service", event.Get("project", "name"))
	b.Environment = c.environment
	mapSource(b, event.Get("pipeline"))
	b.StartedAt = b.Time("startedAt", workflow.Get("created_at"))
	b.CompletedAt = b.Time("completedAt", workflow.Get("stopped_at"), event.Get("happened_at"))
	b.PipelineName = b.Text("pipelineName", workflow.Get("name"))
	b.PipelineURL = b.URL("pipelineUrl", workflow.Get("url"))
	b.SetMeta("event", kind)
	b.Meta("eventId", event.Get("id"))
	b.Meta("project", event.Get("project", "slug"))
	b.Meta("number", event.Get("pipeline", "number"))
	b.Meta("trigger", event.Get("pipeline", "trigger", "type"))
	return nil
}

// mapSource reads the commit. Projects of the GitHub OAuth app and Bitbucket
// Cloud have vcs. All others have trigger_parameters.
func mapSource(b *inbound.Builder, pipeline inbound.Node) {
	vcs, git, host := pipeline.Get("vcs"), pipeline.Get("trigger_parameters", "git"), pipeline.Get("trigger_parameters", "gitlab")
	b.Commit(noCommit, vcs.Get("revision"), git.Get("checkout_sha"), host.Get("checkout_sha"))
	b.Branch = inbound.Branch(b.Text("branch", vcs.Get("branch"), git.Get("branch"), host.Get("branch")), b.CommitSHA)
	b.TriggeredBy = b.Text("triggeredBy", host.Get("user_username"))
	for _, link := range []inbound.Node{vcs.Get("target_repository_url"), host.Get("web_url")} {
		if strings.HasPrefix(link.Text(), "http") {
			b.RepositoryURL = b.URL("repositoryUrl", link)
			break
		}
	}
	for _, tag := range []inbound.Node{vcs.Get("tag"), git.Get("tag")} {
		b.Meta("tag", tag)
	}
}
