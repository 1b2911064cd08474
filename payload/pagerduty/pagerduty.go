// Package pagerduty converts PagerDuty's V3 webhooks to records of incidents.
//
//	secret, err := signer.NewLiteralSecret(os.Getenv("PAGERDUTY_WEBHOOK_SECRET"))
//	if err != nil {
//		return err
//	}
//	verifier, err := signer.NewBodyOnly(secret, signer.WithHeader("X-PagerDuty-Signature"),
//		signer.WithSignaturePrefix("v1="), signer.WithSignatureList(), signer.WithPrincipal("acme"))
//	if err != nil {
//		return err
//	}
//	decode, err := pagerduty.NewIncidentDecoder()
//	if err != nil {
//		return err
//	}
//	endpoint, err := deployments.NewIncidents(verifier, ledger, deployments.WithIncidentDecoder(decode))
//	if err != nil {
//		return err
//	}
//	http.Handle("POST /webhooks/pagerduty", endpoint)
//
// # Mapping
//
//	Incident      event
//	incidentId    data.id
//	openedAt      data.created_at. For incident.reopened, occurred_at
//	resolvedAt    occurred_at of incident.resolved
//	updatedAt     occurred_at
//	service       data.service.summary
//	url, title    data.html_url, data.title
//
// The events incident.triggered, incident.reopened and incident.resolved are
// read. All others are [payload.ErrIgnored]. The other events of an incident
// have its first created_at, so an incident that was reopened would seem to be
// resolved.
//
// The mapping was checked against the page "Webhooks Overview" of PagerDuty's
// developer documentation, and against signed deliveries of 2025 in the tests
// of the library github.com/Aldaviva/PagerDuty: pagey.ping and
// incident.triggered, .acknowledged, .resolved and .annotated. No delivery of
// incident.reopened was at hand. The documentation gives it the same data. The
// members agent, client and priority, which may be null, are not read.
//
// # Security
//
// Verify the signature before decoding, and bound the body. While a
// subscription has two secrets, PagerDuty sends two signatures in one header,
// of which the scheme above accepts either.
//
// # Misuses
//
//   - A service in PagerDuty with another name than in the deployments. Metrics
//     then blame no deployment. Give the names with [WithServices].
package pagerduty

import (
	"context"
	"maps"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound"
)

const system = "pagerduty"

// ErrConfig is wrapped by errors about options.
var ErrConfig = inbound.ErrConfig

// Option configures [NewIncidentDecoder].
type Option interface {
	apply(*config)
}

type optionFunc func(*config)

func (f optionFunc) apply(c *config) { f(c) }

type config struct {
	inbound.Checks
	services    map[string]string
	environment string
}

// WithServices names the deployments' service for PagerDuty's service IDs, such
// as PF9KMXH. A service that is not listed keeps PagerDuty's name. It copies
// services. Default: none. An empty map is an error.
func WithServices(services map[string]string) Option {
	return optionFunc(func(c *config) {
		c.services = maps.Clone(services)
		c.Given("WithServices", len(services) == 0)
	})
}

// WithEnvironment sets the environment of incidents, which PagerDuty does not
// name. Default: none, which metrics take for production. The empty string is
// an error.
func WithEnvironment(name string) Option {
	return optionFunc(func(c *config) {
		c.environment = name
		c.Given("WithEnvironment", name == "")
	})
}

// NewIncidentDecoder returns a decoder of incidents, for the incident endpoint
// of package deployments. It reports all configuration errors, which wrap
// [ErrConfig].
func NewIncidentDecoder(opts ...Option) (func(ctx context.Context, body []byte) (*payload.Incident, error), error) {
	c := new(config)
	if err := inbound.Configure(system, opts, c, Option.apply); err != nil {
		return nil, err
	}
	return func(_ context.Context, body []byte) (*payload.Incident, error) {
		return inbound.Incident(system, body, c.mapEvent)
	}, nil
}

func (c *config) mapEvent(b *inbound.Builder, root inbound.Node, i *payload.Incident) error {
	event := root.Get("event")
	data, kind := event.Get("data"), event.Get("event_type").Text()
	if event.Get("resource_type").Text() != "incident" || data.Get("type").Text() != "incident" {
		return inbound.Ignore("an event that is not about an incident")
	}
	at := b.Time("updatedAt", event.Get("occurred_at"))
	i.IncidentID, i.UpdatedAt = b.ID("incidentId", data.Get("id")), at
	i.OpenedAt = b.Time("openedAt", data.Get("created_at"))
	switch kind {
	case "incident.triggered":
	case "incident.reopened":
		i.OpenedAt = at
	case "incident.resolved":
		i.ResolvedAt = at
	default:
		return inbound.Ignore("an event of type %s", inbound.Quote(kind))
	}
	service := data.Get("service")
	i.Service = b.Text("service", service.Get("summary"))
	if name, ok := c.services[service.Get("id").Text()]; ok {
		i.Service = name
	}
	i.Environment = c.environment
	i.URL, i.Title = b.URL("url", data.Get("html_url")), inbound.Title(data.Get("title"))
	return nil
}
