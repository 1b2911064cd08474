package coolify

import (
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const preview = "preview"

// types maps the events about deployments. Coolify sends them when a deployment
// has ended.
var types = map[string]payload.Status{
	"deployment_success": payload.StatusSuccess,
	"deployment_failed":  payload.StatusFailure,
}

func mapEvent(b *inbound.Builder, event inbound.Node) error {
	kind := event.Get("event").Text()
	status, ok := types[kind]
	if !ok {
		return inbound.Ignore("event is %s", inbound.Quote(kind))
	}
	b.Status = status
	b.SetMeta(inbound.MetaStatus, kind)
	b.DeploymentID = b.ID("deploymentId", event.Get("deployment_uuid"))
	b.Service = b.Text("service", event.Get("application_name"))
	b.Environment = b.Text("environment", event.Get("environment"))
	if event.Get("pull_request_id").Exists() {
		b.SetMeta("environment", b.Environment)
		b.Environment = preview
	}
	b.PipelineURL = b.URL("pipelineUrl", event.Get("deployment_url"))
	b.Meta("applicationId", event.Get("application_uuid"))
	b.Meta("project", event.Get("project"))
	b.Meta("pullRequest", event.Get("pull_request_id"))
	url := event.Get("preview_fqdn")
	if !url.Exists() {
		url = event.Get("fqdn")
	}
	b.Meta("url", url)
	return nil
}
