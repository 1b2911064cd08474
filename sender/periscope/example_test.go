package periscope_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/periscope"
	"github.com/deployhook/deployhook/signer"
)

func ExampleFormat() {
	format, err := periscope.New(periscope.WithBase(payload.Deployment{Environment: "production"}))
	if err != nil {
		fmt.Println(err)
		return
	}
	event := &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2024, 1, 15, 10, 35, 0, 0, time.UTC), DeploymentID: "run-12345",
		App: "api-gateway", Environment: "production", Commit: &payload.Commit{SHA: "a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2"},
	}
	if err := event.Metadata.Set(periscope.StartedAt, "2024-01-15T10:30:00Z"); err != nil {
		fmt.Println(err)
		return
	}
	_, body, err := format.Encode(context.Background(), event)
	fmt.Println(string(body), err)
	// Output:
	// {"deploymentId":"run-12345","commitSha":"a1b2c3d4e5f60ab2c3d4e5f60ab2c3d4e5f60ab2","environment":"production","status":"success","startedAt":"2024-01-15T10:30:00Z","completedAt":"2024-01-15T10:35:00Z","service":"api-gateway","metadata":{"startedAt":"2024-01-15T10:30:00Z"}} <nil>
}

// The code of the package's documentation.
func _(ctx context.Context, s *sender.Sender, event *payload.Event) error {
	format, err := periscope.New(periscope.WithBase(payload.Deployment{Environment: "production"}))
	if err != nil {
		return err
	}
	secret, err := signer.NewLiteralSecret(os.Getenv("PERISCOPE_API_KEY"))
	if err != nil {
		return err
	}
	key, err := signer.NewBearer(secret)
	if err != nil {
		return err
	}
	receipt, err := s.Send(ctx, sender.Endpoint{
		URL:        sender.NewURL("https://app.periscope.sh/api/webhooks/deployments"),
		Signer:     key,
		BodyFormat: format,
		Events:     []string{"deploy.*"},
	}, event)
	_ = receipt
	return err
}
