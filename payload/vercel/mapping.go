package vercel

import (
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const preview = "preview"

// types maps Vercel's events about deployments. The last four are old names of
// the events.
var types = map[string]payload.Status{
	// the build starts at once
	"deployment.created":           payload.StatusInProgress,
	"deployment.check-rerequested": payload.StatusInProgress,
	"deployment.checks.succeeded":  payload.StatusInProgress,
	"deployment.ready":             payload.StatusInProgress,
	"deployment.succeeded":         payload.StatusSuccess,
	"deployment.promoted":          payload.StatusSuccess,
	"deployment.error":             payload.StatusFailure,
	"deployment.checks.failed":     payload.StatusFailure,
	"deployment.canceled":          payload.StatusCancelled,
	"deployment.rollback":          payload.StatusRolledBack,
	"deployment":                   payload.StatusInProgress,
	"deployment-ready":             payload.StatusInProgress,
	"deployment-error":             payload.StatusFailure,
	"deployment-canceled":          payload.StatusCancelled,
}

// hosts lists the prefixes of a deployment's meta members, by the host of its
// repository.
var hosts = []string{"github", "gitlab", "bitbucket"}

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	kind := event.Get("type").Text()
	status, ok := types[kind]
	if !ok {
		return inbound.Ignore("type is %s", inbound.Quote(kind))
	}
	b.Status = status
	b.SetMeta(inbound.MetaStatus, kind)
	at := event.Get("createdAt")
	b.At(b.Millis("startedAt", at), at, kind == "deployment.created" || kind == "deployment")

	data := event.Get("payload")
	deployment := data.Get("deployment")
	// Older events have deploymentId, name and projectId there. An event about
	// a rollback may name the rolled back deployment in fromDeploymentId. These
	// four are not documented, but accepted.
	b.DeploymentID = b.ID("deploymentId", deployment.Get("id"), data.Get("deploymentId"), data.Get("fromDeploymentId"))
	project := projectID(data)
	if b.Environment = b.Text("environment", data.Get("target")); b.Environment == "" {
		b.Environment = preview
	}
	b.Service = b.Text("service",
		deployment.Get("name"), data.Get("name"), project, data.Get("projectId"))
	b.Commit("deployments from the Vercel command line have none; look it up in WithComplete", meta(deployment, "CommitSha")...)
	b.Branch = inbound.Branch(b.Text("branch", meta(deployment, "CommitRef")...), b.CommitSHA)
	b.TriggeredBy = b.Text("triggeredBy", data.Get("user", "id"))
	b.PipelineURL = b.URL("pipelineUrl", data.Get("links", "deployment"))
	mapMetadata(b, event)
	return nil
}

// projectID returns the project. Older events have it as a plain text.
func projectID(data inbound.Node) inbound.Node {
	if project := data.Get("project"); project.Kind() == payload.KindString {
		return project
	}
	return data.Get("project", "id")
}

// meta returns the members of a deployment's meta that have the same meaning
// for different hosts.
func meta(deployment inbound.Node, name string) []inbound.Node {
	nodes := make([]inbound.Node, len(hosts))
	for i, host := range hosts {
		nodes[i] = deployment.Get("meta", host+name)
	}
	return nodes
}

func mapMetadata(b *inbound.Builder, event inbound.Node) {
	data := event.Get("payload")
	deployment := data.Get("deployment")
	b.Meta("eventId", event.Get("id"))
	b.Meta("region", event.Get("region"))
	b.Meta("url", deployment.Get("url"))
	b.Meta("teamId", data.Get("team", "id"))
	b.Meta("projectId", projectID(data))
	b.Meta("plan", data.Get("plan"))
	for _, host := range hosts {
		b.Meta("commitAuthor", deployment.Get("meta", host+"CommitAuthorLogin"))
	}
}
