package envelope_test

import (
	"context"
	"fmt"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/envelope"
	"github.com/deployhook/deployhook/signer"
)

func ExampleFormat() {
	endpoint := sender.Endpoint{URL: sender.NewURL("https://hooks.example.com/deploy"), BodyFormat: envelope.New()}
	message, err := endpoint.Message(context.Background(), &payload.Event{
		Type: payload.DeployFailed, Timestamp: time.Unix(1773325321, 0), DeploymentID: "dep_1", DeliveryID: "whk_1",
		App: "shop", Error: `it said "no" </script>`,
	})
	fmt.Println(string(message.Body), err)
	// Output: {"type":"deploy.failed","timestamp":"2026-03-12T14:22:01Z","data":{"delivery_id":"whk_1","deployment_id":"dep_1","app":"shop","error":"it said \"no\" </script>"}} <nil>
}

// The code of the package's documentation.
func _(ctx context.Context, s *sender.Sender, url string, scheme signer.Signer, event *payload.Event) error {
	receipt, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: scheme, BodyFormat: envelope.New()}, event)
	_ = receipt
	return err
}
