// A platform publishes an event to a customer's endpoint through a SQLite file.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

func main() {
	if err := run(context.Background(), "outbox.db", os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file, version string) error {
	agents := make(chan string, 1)
	customer := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		agents <- r.UserAgent()
	}))
	defer customer.Close()
	secret := make([]byte, 32)
	if _, err := rand.Read(secret); err != nil {
		return err
	}
	key, err := outbox.NewSealingKey("outside", secret)
	if err != nil {
		return err
	}
	o, err := outbox.OpenSQLite(ctx, file, outbox.WithSealingKeys(key),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))))
	if err != nil {
		return err
	}
	defer o.Close()
	shop := o.App("shop")
	if _, _, err := shop.CreateEndpoint(ctx, outbox.EndpointConfig{URL: sender.NewURL(customer.URL)}); err != nil {
		return err
	}
	if err := o.Start(ctx); err != nil {
		return err
	}
	p, err := shop.Publish(ctx, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
	})
	if err != nil {
		return err
	}
	if len(p.Deliveries) != 1 {
		return fmt.Errorf("%d deliveries, want 1", len(p.Deliveries))
	}
	if got, want := <-agents, "deployhook/"+strings.TrimPrefix(version, "v"); got != want {
		return fmt.Errorf("the User-Agent is %q, want %q", got, want)
	}
	return nil
}
