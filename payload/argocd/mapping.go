package argocd

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const succeeded = "Succeeded"

// phases maps the phases of a sync operation.
var phases = map[string]payload.Status{
	"Running":     payload.StatusInProgress,
	"Terminating": payload.StatusInProgress,
	"Error":       payload.StatusFailure,
	"Failed":      payload.StatusFailure,
	succeeded:     payload.StatusSuccess,
}

// healths maps the health of an application after a successful sync.
var healths = map[string]payload.Status{
	"Healthy":     payload.StatusSuccess,
	"Degraded":    payload.StatusFailure,
	"Missing":     payload.StatusInProgress,
	"Progressing": payload.StatusInProgress,
	"Suspended":   payload.StatusInProgress,
	"Unknown":     payload.StatusInProgress,
}

const noCommit = "Helm charts and OCI artifacts have a version instead; look the commit up in WithComplete"

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	phase := event.Get("phase")
	switch {
	case event.Get("source").Text() != system:
		return inbound.Ignore("source is not %q, so the body is of another template", system)
	case phase.Kind() == payload.KindString && phase.Text() == "":
		return inbound.Ignore("the application has no sync operation")
	case event.Get("dryRun").Bool():
		return inbound.Ignore("the sync is a dry run")
	case event.Get("selective").Bool():
		return inbound.Ignore("the sync applies selected resources only")
	}
	b.DeploymentID = b.JoinID("deploymentId", event.Get("uid"), event.Get("startedAt"))
	mapStatus(b, event)
	b.Service = b.Text("service", event.Get("name"))
	b.Environment = c.environment
	if b.Environment == "" {
		b.Environment = b.Text("environment", event.Get("environment"), event.Get("destination", "namespace"), event.Get("destination", "name"))
	}
	mapCommit(b, event)
	mapInitiator(b, event)
	b.PipelineURL = pipelineURL(b, event)
	b.SetMeta("application", event.Get("namespace").Text()+"/"+event.Get("name").Text())
	b.Meta("project", event.Get("project"))
	b.Meta("health", event.Get("health"))
	if b.Status == payload.StatusFailure {
		b.Meta("reason", event.Get("message"))
	}
	return nil
}

// mapStatus sets the status and the times. After a successful sync the
// application's health decides, and the deployment ends when the application
// has got its health.
func mapStatus(b *inbound.Builder, event inbound.Node) {
	if b.Lookup(phases, event.Get("phase")) == succeeded {
		b.Status = ""
		b.Lookup(healths, event.Get("health"))
		b.SetMeta(inbound.MetaStatus, succeeded)
	}
	b.StartedAt = b.Time("startedAt", event.Get("startedAt"))
	if !b.Status.Terminal() {
		return
	}
	since := b.Time("completedAt", event.Get("healthSince"))
	b.CompletedAt = b.Time("completedAt", event.Get("finishedAt"))
	if event.Get("phase").Text() == succeeded && since.After(b.CompletedAt) {
		b.CompletedAt = since
		b.From("completedAt", event.Get("healthSince"))
	}
}

// revisions returns the revisions of an operation. An application with one
// source has one revision.
func revisions(operation inbound.Node) []inbound.Node {
	if one := operation.Get("revision"); one.Exists() && one.Text() != "" {
		return []inbound.Node{one}
	}
	if !operation.Get("revisions").Exists() {
		return nil
	}
	return operation.Get("revisions").Items()
}

// mapCommit takes the first revision that is a commit, and its source.
func mapCommit(b *inbound.Builder, event inbound.Node) {
	all := revisions(event)
	var sources []inbound.Node
	if event.Get("sources").Exists() {
		sources = event.Get("sources").Items()
	}
	b.Unknown("commitSha", noCommit)
	for i, revision := range all {
		switch text := revision.Text(); {
		case !inbound.IsCommit(text) && b.Version == "":
			b.Version = b.Text("version", revision)
		case inbound.IsCommit(text) && b.CommitSHA == "":
			b.CommitSHA = b.Text("commitSha", revision)
			b.PreviousCommitSHA = previous(event, i)
			if i < len(sources) {
				b.Branch = inbound.Branch(b.Text("branch", sources[i].Get("targetRevision")), b.CommitSHA)
				b.RepositoryURL = repositoryURL(b, sources[i].Get("repoURL"))
			}
		}
	}
}

// repositoryURL leaves out SSH addresses, which are valid but no links.
func repositoryURL(b *inbound.Builder, n inbound.Node) string {
	if !strings.HasPrefix(n.Text(), "http") {
		return ""
	}
	return b.URL("repositoryUrl", n)
}

// previous returns the commit of the last operation before this one, for the
// source at an index.
func previous(event inbound.Node, source int) string {
	if !event.Get("history").Exists() {
		return ""
	}
	commit := ""
	for _, operation := range event.Get("history").Items() {
		all := revisions(operation)
		if operation.Get("startedAt").Text() == event.Get("startedAt").Text() || source >= len(all) {
			continue
		}
		if text := all[source].Text(); inbound.IsCommit(text) {
			commit = text
		}
	}
	return commit
}

func mapInitiator(b *inbound.Builder, event inbound.Node) {
	b.TriggeredBy = b.Text("triggeredBy", event.Get("initiatedBy", "username"))
	if b.TriggeredBy == "" && event.Get("initiatedBy", "automated").Bool() {
		b.TriggeredBy = "automated sync"
	}
}

// pipelineURL returns the application's page.
func pipelineURL(b *inbound.Builder, event inbound.Node) string {
	base := b.URL("pipelineUrl", event.Get("argocdUrl"))
	if base == "" {
		return ""
	}
	link, _ := payload.CleanURL(strings.TrimRight(base, "/") + "/applications/" + event.Get("namespace").Text() + "/" + event.Get("name").Text())
	return link
}
