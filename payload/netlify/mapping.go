package netlify

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// states maps the states of a deploy. They are those of the API's parameter
// state of the list of deploys.
var states = map[string]payload.Status{
	"new":            payload.StatusPending,
	"pending_review": payload.StatusPending,
	"accepted":       payload.StatusPending,
	"enqueued":       payload.StatusPending,
	"building":       payload.StatusInProgress,
	"uploading":      payload.StatusInProgress,
	"uploaded":       payload.StatusInProgress,
	"preparing":      payload.StatusInProgress,
	"prepared":       payload.StatusInProgress,
	"processing":     payload.StatusInProgress,
	"processed":      payload.StatusInProgress,
	"retrying":       payload.StatusInProgress,
	"ready":          payload.StatusSuccess,
	"error":          payload.StatusFailure,
	"rejected":       payload.StatusCancelled,
}

const noCommit = "deploys from the command line or a folder have none; look it up in WithComplete"

func mapEvent(b *inbound.Builder, event inbound.Node) error {
	if event.Get("form_id").Exists() && !event.Get("state").Exists() {
		return inbound.Ignore("the event is about a form")
	}
	b.Lookup(states, event.Get("state"))
	if event.Get("skipped").Bool() && b.Status == payload.StatusFailure {
		b.Status = payload.StatusCancelled
	}
	b.DeploymentID = b.ID("deploymentId", event.Get("id"))
	b.Service = b.Text("service", event.Get("name"))
	b.Environment = b.Text("environment", event.Get("context"))
	b.Commit(noCommit, event.Get("commit_ref"))
	b.Branch = b.Text("branch", event.Get("branch"))
	b.StartedAt = b.Time("startedAt", event.Get("created_at"))
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", event.Get("published_at"), event.Get("updated_at"))
	}
	b.TriggeredBy = b.Text("triggeredBy", event.Get("committer"), event.Get("user_id"))
	mapLinks(b, event)
	b.Meta("siteId", event.Get("site_id"))
	b.Meta("buildId", event.Get("build_id"))
	b.Meta("url", event.Get("deploy_ssl_url"))
	b.Meta("title", event.Get("title"))
	b.Meta("pullRequest", event.Get("review_id"))
	b.Meta("reason", event.Get("error_message"))
	if b.Status == payload.StatusSuccess {
		b.SetMeta("published", event.Get("published_at").Exists())
	}
	return nil
}

// mapLinks makes the links to the deploy and to the repository.
func mapLinks(b *inbound.Builder, event inbound.Node) {
	if site := b.URL("pipelineUrl", event.Get("admin_url")); site != "" {
		b.PipelineURL, _ = payload.CleanURL(strings.TrimRight(site, "/") + "/deploys/" + event.Get("id").Text())
	}
	if repository, _, ok := strings.Cut(b.URL("repositoryUrl", event.Get("commit_url")), "/commit/"); ok {
		b.RepositoryURL = strings.TrimSuffix(repository, "/-")
	}
}
