package cdevents_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// The decoder is for the handler Records of package receiver. A function
// instead of nil supplies what the events of a system lack.
func ExampleNewDecoder() {
	decode := cdevents.NewDecoder(nil)
	event, err := cdevents.FromDeployment(&payload.Deployment{ // another system's part
		DeploymentID: "run-42", CommitSHA: "a1b2c3d", Environment: "production", Service: "shop",
		Status: payload.StatusSuccess, StartedAt: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC),
		CompletedAt: time.Date(2026, 3, 12, 14, 25, 2, 0, time.UTC),
	}, cdevents.Options{Source: "https://ci.example/acme/shop"})
	if err != nil {
		log.Fatal(err)
	}
	_, body := event.Binary()
	deployment, err := decode(context.Background(), body)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(deployment.Service, deployment.CommitSHA, deployment.Status)
	// Output: shop a1b2c3d success
}

// The decoder is for the incident endpoint of package deployments.
func ExampleNewIncidentDecoder() {
	decode := cdevents.NewIncidentDecoder(nil) // the event says everything
	incident, err := decode(context.Background(), []byte(incidentEvent("detected")))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(incident.IncidentID, incident.Service, incident.Environment, incident.Title)
	// Output: incident-123 api production Response time increased
}
