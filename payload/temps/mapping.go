package temps

import (
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// types maps the events of a Temps server that are about deployments.
var types = map[string]payload.Status{
	"deployment_created":   payload.StatusPending,
	"deployment_ready":     payload.StatusInProgress,
	"deployment_succeeded": payload.StatusSuccess,
	"deployment_failed":    payload.StatusFailure,
	"deployment_cancelled": payload.StatusCancelled,
}

const (
	noCommit = "Temps has none for images and uploaded files; look it up in WithComplete"
	optional = "the guide's events may omit it; look it up in WithComplete, or take these events with receiver.Events"
)

func mapEvent(b *inbound.Builder, event inbound.Node) error {
	if guide := event.Get("event"); guide.Exists() && !event.Get("event_type").Exists() {
		return mapGuide(b, event)
	}
	kind := event.Get("event_type").Text()
	status, ok := types[kind]
	if !ok {
		return inbound.Ignore("event_type is %s", inbound.Quote(kind))
	}
	b.Status = status
	b.SetMeta(inbound.MetaStatus, kind)
	data := event.Get("payload")
	b.DeploymentID = b.ID("deploymentId", data.Get("deployment_id"))
	b.Service = b.Text("service", data.Get("project_name"))
	b.Environment = b.Text("environment", data.Get("environment"))
	b.Commit(noCommit, data.Get("commit_sha"))
	b.Branch = inbound.Branch(b.Text("branch", data.Get("branch")), b.CommitSHA)
	at := event.Get("timestamp")
	now := b.Time("startedAt", at)
	b.StartedAt = b.Time("startedAt", data.Get("started_at"))
	if status.Terminal() {
		b.CompletedAt = b.Time("completedAt", data.Get("finished_at"))
	}
	b.At(now, at, status == payload.StatusPending)
	b.Meta("eventId", event.Get("id"))
	b.Meta("projectId", data.Get("project_id"))
	b.Meta("url", data.Get("url"))
	b.Meta("reason", data.Get("error_message"))
	b.Meta("commitMessage", data.Get("commit_message"))
	return nil
}

// mapGuide reads an event in the form of the guide to deployment webhooks.
func mapGuide(b *inbound.Builder, event inbound.Node) error {
	kind := payload.Type(event.Get("event").Text())
	status, ok := kind.DeploymentStatus()
	if !ok || kind == payload.BuildCompleted || kind == payload.HealthCheckPassed {
		return inbound.Ignore("event is %s", inbound.Quote(string(kind)))
	}
	b.Status = status
	b.SetMeta(inbound.MetaStatus, string(kind))
	b.DeploymentID = b.ID("deploymentId", event.Get("deployment_id"))
	b.Service = b.Text("service", event.Get("app"))
	b.Environment = b.Text("environment", event.Get("environment"))
	if !event.Get("environment").Exists() {
		b.Unknown("environment", optional)
	}
	b.Commit(optional, event.Get("commit", "sha"))
	b.Branch = b.Text("branch", event.Get("commit", "branch"))
	b.TriggeredBy = b.Text("triggeredBy", event.Get("triggered_by"))
	at := event.Get("timestamp")
	b.At(b.Time("startedAt", at), at, kind == payload.DeployStarted)
	b.Meta("url", event.Get("url"))
	b.Meta("reason", event.Get("error"))
	b.Meta("previousVersion", event.Get("previous_version"))
	b.Meta("commitMessage", event.Get("commit", "message"))
	return nil
}
