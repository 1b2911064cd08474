package slack_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/slack"
)

// Each webhook posts to one channel. Make an endpoint for each channel, and
// select its events with Events.
func Example_channels() {
	channel := func(name string) *httptest.Server {
		return httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { fmt.Println(name) }))
	}
	incidents, dev := channel("#incidents"), channel("#dev-deploys")
	defer incidents.Close()
	defer dev.Close()

	format, err := slack.New()
	if err != nil {
		fmt.Println(err)
		return
	}
	endpoints := []sender.Endpoint{
		{
			URL: sender.NewURL(incidents.URL), Signer: sender.InsecureUnsigned(), BodyFormat: format,
			Events: []string{"deploy.failed", "deploy.rolled_back"},
		},
		{
			URL: sender.NewURL(dev.URL), Signer: sender.InsecureUnsigned(), BodyFormat: format,
			Events: []string{"deploy.started", "deploy.live", "health_check.*"},
		},
	}
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))) // Slack itself is https
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	for _, event := range []*payload.Event{
		{Type: payload.DeployStarted, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop"},
		{Type: payload.DeployFailed, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Error: "no space left"},
	} {
		for _, endpoint := range endpoints {
			if _, err := s.Send(context.Background(), endpoint, event); err != nil {
				fmt.Println(err)
			}
		}
	}
	// Output:
	// #dev-deploys
	// #incidents
}

// The code of the package's documentation.
func _(ctx context.Context, s *sender.Sender, event *payload.Event) error {
	format, err := slack.New()
	if err != nil {
		return err
	}
	receipt, err := s.Send(ctx, sender.Endpoint{
		URL:        sender.NewURL(os.Getenv("SLACK_INCIDENTS_URL")), // the credential: Slack checks no signature
		Signer:     sender.InsecureUnsigned(),
		BodyFormat: format,
		Events:     []string{"deploy.failed", "deploy.rolled_back"},
	}, event)
	_ = receipt
	return err
}
