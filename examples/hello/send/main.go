// Send sends one deployment event. It is the second program of the README.
package main

import (
	"context"
	"log"
	"net/netip"
	"os"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	secret := must(signer.ParseSecret(os.Getenv("DEPLOYHOOK_SECRET")))
	scheme := must(signer.NewStandard(secret))
	s := must(sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))) // without it: public https only
	endpoint := sender.Endpoint{URL: sender.NewURL("http://127.0.0.1:8420/webhooks/deploy"), Signer: scheme}
	receipt := must(s.Send(context.Background(), endpoint, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_a1b2c3d4",
		App: "shop", Version: "v1.4.2", Environment: "production", URL: "https://shop.example.com",
	}))
	log.Println(receipt.Outcome, receipt.ID, "after", len(receipt.Attempts), "attempt(s)")
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}
