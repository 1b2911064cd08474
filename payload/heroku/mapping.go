package heroku

import (
	"regexp"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// statuses maps the statuses of a release. A pending release runs its release
// phase. expired is not documented, but accepted.
var statuses = map[string]payload.Status{
	"pending":   payload.StatusInProgress,
	"succeeded": payload.StatusSuccess,
	"failed":    payload.StatusFailure,
	"expired":   payload.StatusFailure,
}

// deploys lists how Heroku begins the description of a release with new code.
// Only the first is documented. The others are from container images and from
// promotions in a pipeline.
var deploys = []string{"Deploy ", "Deployed ", "Promote "}

var rollback = regexp.MustCompile(`^Rollback to v\d+`)

func (c *config) mapEvent(b *inbound.Builder, event inbound.Node) error {
	data := event.Get("data")
	if resource := event.Get("resource").Text(); resource != "release" {
		return inbound.Ignore("resource is %s, not release", inbound.Quote(resource))
	}
	description := data.Get("description").Text()
	isRollback := rollback.MatchString(description)
	if !isRollback && !isDeploy(description) {
		// The description is not quoted, because a text such as "Set TOKEN, KEY
		// config vars" has names that must not be logged.
		return inbound.Ignore("the release changes the configuration, not the code")
	}
	b.Lookup(statuses, data.Get("status"))
	if isRollback {
		b.SetMeta("rollback", true)
		if b.Status == payload.StatusSuccess {
			b.Status = payload.StatusRolledBack
		}
	}
	b.DeploymentID = b.ID("deploymentId", data.Get("id"))
	b.Commit("a release of a container image has no commit; look it up in WithComplete", data.Get("slug", "commit"))
	b.Environment = c.environment
	b.StartedAt = b.Time("startedAt", data.Get("created_at"))
	if b.Status.Terminal() {
		b.CompletedAt = b.Time("completedAt", data.Get("updated_at"))
	}
	b.Service = b.Text("service", data.Get("app", "name"))
	b.TriggeredBy = b.Text("triggeredBy", data.Get("user", "email"), event.Get("actor", "email"))
	mapMetadata(b, event)
	return nil
}

func isDeploy(description string) bool {
	for _, prefix := range deploys {
		if strings.HasPrefix(description, prefix) {
			return true
		}
	}
	return false
}

func mapMetadata(b *inbound.Builder, event inbound.Node) {
	data := event.Get("data")
	b.Meta("description", data.Get("description"))
	b.Meta("version", data.Get("version"))
	b.Meta("current", data.Get("current"))
	b.Meta("slugId", data.Get("slug", "id"))
	b.Meta("appId", data.Get("app", "id"))
	b.Meta("action", event.Get("action"))
	b.Meta("eventId", event.Get("id"))
}
