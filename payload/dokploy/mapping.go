package dokploy

import (
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// build is the type of the events about deployments. Dokploy sends them when a
// deployment has ended.
const build = "build"

var statuses = map[string]payload.Status{
	"success": payload.StatusSuccess,
	"error":   payload.StatusFailure,
}

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	kind := event.Get("type")
	// The events about backups have other words in type, and older versions of
	// them have status there.
	if kind.Text() != build {
		return inbound.Ignore("type is %s", inbound.Quote(kind.Text()))
	}
	b.Lookup(statuses, event.Get("status"))
	at := event.Get("timestamp")
	b.At(b.Time("startedAt", at), at, false)
	b.PipelineURL = b.URL("pipelineUrl", event.Get("buildLink"))
	service := serviceID(b.PipelineURL)
	b.DeploymentID = deploymentID(b, event, service)
	b.Service = b.Text("service", event.Get("applicationName"))
	b.Environment = c.environment
	if b.Environment == "" {
		b.Environment = b.Text("environment", event.Get("environmentName"))
		b.Unknown("environment", "this version of Dokploy does not send it; use WithEnvironment, or set it in WithComplete")
	}
	b.SetMeta("event", kind.Text())
	b.SetMeta("serviceId", service)
	b.Meta("project", event.Get("projectName"))
	b.Meta("applicationType", event.Get("applicationType"))
	b.Meta("domains", event.Get("domains"))
	b.Meta("reason", event.Get("errorMessage"))
	return nil
}

// deploymentID joins the service and the time, because the event has no ID of
// the deployment.
func deploymentID(b *inbound.Builder, event inbound.Node, service string) string {
	if service == "" {
		return b.JoinID("deploymentId", event.Get("projectName"), event.Get("applicationName"), event.Get("timestamp"))
	}
	if at := b.ID("deploymentId", event.Get("timestamp")); at != "" {
		return service + "-" + at
	}
	return ""
}

// serviceID returns the ID of the application from the link to its page, whose
// path ends with /services/application/ID or /services/compose/ID.
func serviceID(link string) string {
	if !strings.Contains(link, "/services/") {
		return ""
	}
	return inbound.LastSegment(link)
}
