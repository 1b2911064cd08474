package drone

import (
	"strconv"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// statuses maps the statuses of a build.
var statuses = map[string]payload.Status{
	"blocked":                 payload.StatusPending,
	"pending":                 payload.StatusPending,
	"waiting_on_dependencies": payload.StatusPending,
	"running":                 payload.StatusInProgress,
	"success":                 payload.StatusSuccess,
	"failure":                 payload.StatusFailure,
	"error":                   payload.StatusFailure,
	"killed":                  payload.StatusCancelled,
	"declined":                payload.StatusCancelled,
	"skipped":                 payload.StatusCancelled,
}

func mapEvent(b *inbound.Builder, event inbound.Node) error {
	build, repo := event.Get("build"), event.Get("repo")
	if !build.Exists() {
		return inbound.Ignore("there is no build")
	}
	kind := build.Get("event").Text()
	if kind != "promote" && kind != "rollback" {
		return inbound.Ignore("build.event is %s", inbound.Quote(kind))
	}
	b.Lookup(statuses, build.Get("status"))
	b.DeploymentID = b.ID("deploymentId", build.Get("id"))
	b.Service = b.Text("service", repo.Get("name"))
	b.Environment = b.Text("environment", build.Get("deploy_to"))
	b.CommitSHA = b.Text("commitSha", build.Get("after"))
	b.Branch = inbound.Branch(b.Text("branch", build.Get("target")), b.CommitSHA)
	b.TriggeredBy = b.Text("triggeredBy", build.Get("trigger"), build.Get("sender"), build.Get("author_login"))
	b.StartedAt = b.Seconds("startedAt", build.Get("started"), build.Get("created"))
	if b.Status.Terminal() {
		b.CompletedAt = b.Seconds("completedAt", build.Get("finished"), build.Get("updated"))
	}
	b.RepositoryURL = b.URL("repositoryUrl", repo.Get("link"))
	b.PipelineURL = pipelineURL(b, event)
	b.SetMeta("event", kind)
	b.Meta("action", event.Get("action"))
	b.Meta("repository", repo.Get("slug"))
	b.Meta("number", build.Get("number"))
	b.Meta("parent", build.Get("parent"))
	b.Meta("link", build.Get("link"))
	b.Meta("reason", build.Get("error"))
	return nil
}

// pipelineURL returns the page of the build, which newer servers let know where
// it is.
func pipelineURL(b *inbound.Builder, event inbound.Node) string {
	server := event.Get("system", "link")
	if !server.Exists() {
		return ""
	}
	link := strings.TrimRight(b.URL("pipelineUrl", server), "/")
	if link == "" {
		return ""
	}
	number := b.ID("pipelineUrl", event.Get("build", "number"))
	if _, err := strconv.ParseUint(number, 10, 63); err != nil {
		return ""
	}
	link, _ = payload.CleanURL(link + "/" + event.Get("repo", "slug").Text() + "/" + number)
	return link
}
