package github_test

import (
	"context"
	"fmt"
	"log"

	"github.com/deployhook/deployhook/payload/github"
)

// Issues with the label "incident" are incidents.
func ExampleNewIncidentDecoder() {
	decode, err := github.NewIncidentDecoder(github.WithIncidentEnvironment("production"))
	if err != nil {
		log.Fatal(err)
	}
	incident, err := decode(context.Background(), []byte(`{"action": "opened",
		"issue": {"number": 7, "title": "Slow answers", "state": "open", "labels": [{"name": "incident"}],
			"html_url": "https://github.com/acme/api/issues/7",
			"created_at": "2026-03-12T14:22:01Z", "updated_at": "2026-03-12T14:22:01Z"},
		"repository": {"name": "api", "full_name": "acme/api"}}`))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(incident.IncidentID, incident.Service, incident.Environment, incident.Title)
	// Output: acme/api#7 api production Slow answers
}
