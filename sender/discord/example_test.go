package discord_test

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/discord"
)

func ExampleFormat() {
	format, err := discord.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	_, body, err := format.Encode(context.Background(), &payload.Event{
		Type: payload.DeployFailed, Timestamp: time.Unix(1773325321, 0), DeploymentID: "dep_1",
		App: "shop", Error: "@everyone: [free money](https://evil.example)",
	})
	fmt.Println(string(body), err)
	// Output:
	// {"embeds":[{"title":"DEPLOY FAILED","color":16711680,"fields":[{"name":"App","value":"shop","inline":true},{"name":"Error","value":"\\@everyone\\: \\[free money\\]\\(https\\://evil.example\\)","inline":false}],"footer":{"text":"dep_1"},"timestamp":"2026-03-12T14:22:01Z"}],"allowed_mentions":{"parse":[]}} <nil>
}

// The code of the package's documentation.
func _(ctx context.Context, s *sender.Sender, event *payload.Event) error {
	format, err := discord.New()
	if err != nil {
		return err
	}
	receipt, err := s.Send(ctx, sender.Endpoint{
		URL:        sender.NewURL(os.Getenv("DISCORD_URL")), // the credential: Discord checks no signature
		Signer:     sender.InsecureUnsigned(),
		BodyFormat: format,
		Events:     []string{"deploy.*"},
	}, event)
	_ = receipt
	return err
}
