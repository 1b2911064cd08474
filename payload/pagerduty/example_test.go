package pagerduty_test

import (
	"context"
	"fmt"
	"log"

	"github.com/deployhook/deployhook/payload/pagerduty"
)

// The services of PagerDuty get the names that deployments have.
func ExampleNewIncidentDecoder() {
	decode, err := pagerduty.NewIncidentDecoder(
		pagerduty.WithServices(map[string]string{"PF9KMXH": "api"}), pagerduty.WithEnvironment("production"))
	if err != nil {
		log.Fatal(err)
	}
	incident, err := decode(context.Background(), []byte(`{"event": {
		"event_type": "incident.triggered", "resource_type": "incident", "occurred_at": "2026-12-08T22:58:53Z",
		"data": {"id": "PGR0VU2", "type": "incident", "created_at": "2026-12-08T22:58:50Z", "title": "Slow answers",
			"html_url": "https://acme.pagerduty.com/incidents/PGR0VU2", "service": {"id": "PF9KMXH", "summary": "API Service"}}
	}}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(incident.IncidentID, incident.Service, incident.Environment, incident.OpenedAt.Format("15:04:05"))
	// Output: PGR0VU2 api production 22:58:50
}
