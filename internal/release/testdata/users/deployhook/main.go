// A pipeline sends a signed event, and a service receives it once.
package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	if err := run(context.Background(), os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, version string) error {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		return err
	}
	store, err := dedupe.NewMemory()
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "platform"))
	if err != nil {
		return err
	}
	var apps, agents []string
	events := rcv.Events(func(_ context.Context, e *payload.Event) error {
		apps = append(apps, e.App)
		return nil
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agents = append(agents, r.UserAgent())
		events.ServeHTTP(w, r)
	}))
	defer server.Close()

	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	if err != nil {
		return err
	}
	defer s.Close()
	event := &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", DeliveryID: payload.NewDeliveryID(),
		App: "shop", Environment: "production",
	}
	for range 2 {
		if _, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: scheme}, event); err != nil {
			return err
		}
	}
	if len(apps) != 1 || apps[0] != "shop" {
		return fmt.Errorf("the handler saw %q, want one event of shop", apps)
	}
	if want := "deployhook/" + strings.TrimPrefix(version, "v"); agents[0] != want {
		return fmt.Errorf("the User-Agent is %q, want %q", agents[0], want)
	}
	forged, err := http.Post(server.URL, "application/json", strings.NewReader(`{"event":"deploy.live"}`))
	if err != nil {
		return err
	}
	defer forged.Body.Close()
	if forged.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("an unsigned request got %s", forged.Status)
	}
	return nil
}
