package cdevents_test

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

func Example() {
	// The sender:
	event, err := cdevents.FromDeployment(&payload.Deployment{
		DeploymentID: "run-42", CommitSHA: "a1b2c3d", Environment: "production", Service: "shop",
		Status: payload.StatusSuccess, StartedAt: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC),
		CompletedAt: time.Date(2026, 3, 12, 14, 25, 2, 0, time.UTC),
	}, cdevents.Options{Source: "https://ci.example/acme/shop"})
	if err != nil {
		panic(err)
	}
	header, body := event.Binary() // sign body, send both
	fmt.Println(header.Get("ce-type"), header.Get("ce-subject"), header.Get("Content-Type"))

	// The receiver, after verifying the signature:
	handle := func(header http.Header, body []byte) error {
		event, err := cdevents.Decode(header, body)
		if err != nil {
			return err
		}
		deployment, err := event.Deployment(payload.Deployment{})
		if errors.Is(err, payload.ErrIgnored) {
			return nil // valid, but not a deployment's status: acknowledge it
		}
		if err != nil {
			return err
		}
		fmt.Println(deployment.Service, deployment.CommitSHA, deployment.Status, "in", deployment.Environment)
		return nil
	}
	fmt.Println(handle(header, body))
	header.Set("ce-type", "dev.cdevents.service.removed.0.3.0")
	fmt.Println(handle(header, body))
	// Output:
	// dev.cdevents.service.deployed.0.3.0 shop application/json
	// shop a1b2c3d success in production
	// <nil>
	// cdevents: parts of the message contradict each other: Invalid payload: ce-type must be equal to the body's context.type
}
