package cdevents_test

import (
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/cdevents"
	"github.com/deployhook/deployhook/signer"
)

func ExampleFormat() {
	format, err := cdevents.New("https://ci.example/acme/shop")
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoint := sender.Endpoint{URL: sender.NewURL("https://bus.example/events"), BodyFormat: format}
	message, err := endpoint.Message(context.Background(), &payload.Event{
		Type: payload.DeployStarted, Timestamp: time.Unix(1773325321, 0), DeploymentID: "dep_1", App: "shop",
	})
	fmt.Println(message.ContentType, err)
	// Output: application/cloudevents+json <nil>
}

// The code of the package's documentation.
func _(ctx context.Context, s *sender.Sender, url string, scheme signer.Signer, event *payload.Event) error {
	format, err := cdevents.New("https://ci.example/acme/shop")
	if err != nil {
		return err
	}
	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme, BodyFormat: format}, event)
	_ = receipt
	return err
}
