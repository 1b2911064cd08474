package github

import (
	"context"
	"strings"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

// An IncidentOption configures [NewIncidentDecoder].
type IncidentOption interface {
	applyToIncidents(*incidentConfig)
}

type incidentOption func(*incidentConfig)

func (f incidentOption) applyToIncidents(c *incidentConfig) { f(c) }

type incidentConfig struct {
	inbound.Checks
	label       string
	environment string
}

// DefaultIncidentLabel marks the issues that are incidents.
const DefaultIncidentLabel = "incident"

// WithIncidentLabel sets the label of issues that are incidents, in any case.
// Default: "incident" ([DefaultIncidentLabel]). The empty string is an error.
func WithIncidentLabel(name string) IncidentOption {
	return incidentOption(func(c *incidentConfig) {
		c.label = name
		c.Given("WithIncidentLabel", name == "")
	})
}

// WithIncidentEnvironment sets the environment of incidents, which issues do
// not name. Default: none, which metrics take for production. The empty string
// is an error.
func WithIncidentEnvironment(name string) IncidentOption {
	return incidentOption(func(c *incidentConfig) {
		c.environment = name
		c.Given("WithIncidentEnvironment", name == "")
	})
}

// NewIncidentDecoder returns a decoder of the issues event, for the incident
// endpoint of package deployments. Issues without the label are ignored, and so
// are all other events. It reports all configuration errors, which wrap
// [ErrConfig].
//
// An open issue is read when it is opened, reopened or labelled as an incident.
// Its other events have its first created_at, so an issue that was reopened
// would seem to be closed.
//
//	Incident      issue
//	incidentId    the repository's full name, "#" and the number
//	openedAt      created_at. When it is opened again, updated_at
//	resolvedAt    closed_at
//	updatedAt     updated_at
//	service       the repository's name
//	url, title    html_url, title
func NewIncidentDecoder(opts ...IncidentOption) (func(ctx context.Context, body []byte) (*payload.Incident, error), error) {
	c := &incidentConfig{label: DefaultIncidentLabel}
	if err := inbound.Configure(system, opts, c, IncidentOption.applyToIncidents); err != nil {
		return nil, err
	}
	return func(_ context.Context, body []byte) (*payload.Incident, error) {
		return inbound.Incident(system, body, c.mapIncident)
	}, nil
}

func (c *incidentConfig) mapIncident(b *inbound.Builder, event inbound.Node, i *payload.Incident) error {
	issue, repository, action := event.Get("issue"), event.Get("repository"), event.Get("action").Text()
	switch {
	case !issue.Exists() || event.Get("comment").Exists():
		return inbound.Ignore("an event that is not about an issue")
	case issue.Get("pull_request").Exists():
		return inbound.Ignore("an event about a pull request")
	case action == "deleted" || action == "transferred" || action == "unlabeled":
		return inbound.Ignore("an issue whose action is %s", inbound.Quote(action))
	case !c.labelled(issue):
		return inbound.Ignore("an issue without the label of incidents")
	case issue.Get("state").Text() == "open" && !c.opens(event, action):
		return inbound.Ignore("an open issue whose action is %s", inbound.Quote(action))
	}
	if number := b.ID("incidentId", issue.Get("number")); number != "" {
		i.IncidentID = b.Text("incidentId", repository.Get("full_name")) + "#" + number
	}
	i.OpenedAt = b.Time("openedAt", issue.Get("created_at"))
	i.UpdatedAt = b.Time("updatedAt", issue.Get("updated_at"))
	if action == "reopened" {
		i.OpenedAt = i.UpdatedAt
	}
	if closed := issue.Get("closed_at"); issue.Get("state").Text() == "closed" && closed.Exists() {
		i.ResolvedAt = b.Time("resolvedAt", closed)
	}
	i.Service, i.Environment = b.Text("service", repository.Get("name")), c.environment
	i.URL, i.Title = b.URL("url", issue.Get("html_url")), inbound.Title(issue.Get("title"))
	return nil
}

// opens reports whether an action makes an issue an open incident.
func (c *incidentConfig) opens(event inbound.Node, action string) bool {
	return action == "opened" || action == "reopened" ||
		action == "labeled" && strings.EqualFold(event.Get("label", "name").Text(), c.label)
}

func (c *incidentConfig) labelled(issue inbound.Node) bool {
	for _, label := range issue.Get("labels").Items() {
		if strings.EqualFold(label.Get("name").Text(), c.label) {
			return true
		}
	}
	return false
}
