package outbox_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/outbox"
)

// quickStart is the snippet in the package's documentation.
func quickStart(ctx context.Context, secret []byte, url string, event *payload.Event) error {
	key, err := outbox.NewSealingKey("2026-11", secret) // 32 random bytes
	if err != nil {
		return err
	}
	// or outbox.NewPostgres(ctx, pool, …)
	o, err := outbox.OpenSQLite(ctx, "outbox.db", outbox.WithSealingKeys(key))
	if err != nil {
		return err
	}
	defer o.Close()
	shop := o.App("shop") // one customer
	endpoint, shownOnce, err := shop.CreateEndpoint(ctx, outbox.EndpointConfig{
		URL: sender.NewURL(url), Events: []string{"deploy.*"},
	})
	if err != nil {
		return err // names the invalid field
	}
	fmt.Println(endpoint.ID, shownOnce.Reveal()) // the customer verifies with it
	if err := o.Start(ctx); err != nil {
		return err
	}
	publication, err := shop.Publish(ctx, event)
	if err != nil {
		return err
	}
	fmt.Println(publication.EventID, len(publication.Deliveries))
	return nil
}

var _ = quickStart

// A customer's server is down. When it is up again, it gets the missed events.
func Example() {
	ctx := context.Background()
	var up atomic.Bool
	customer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	defer customer.Close()
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	key, err := outbox.NewSealingKey("example", []byte("32 random bytes, from elsewhere!"))
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan outbox.State, 10)
	o, err := outbox.OpenSQLite(ctx, filepath.Join(dir, "outbox.db"),
		outbox.WithSealingKeys(key),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))), // for this example's server
		outbox.WithHook(func(_ context.Context, n outbox.Notice) {
			if n.Kind == outbox.NoticeDone {
				done <- n.State
			}
		}))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer o.Close()
	shop := o.App("shop")
	_, _, err = shop.CreateEndpoint(ctx, outbox.EndpointConfig{URL: sender.NewURL(customer.URL), Schedule: outbox.ScheduleOnce})
	if err != nil {
		fmt.Println(err)
		return
	}
	if err := o.Start(ctx); err != nil {
		fmt.Println(err)
		return
	}
	p, err := shop.Publish(ctx, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-done)

	up.Store(true)
	if err := shop.Replay(ctx, p.Deliveries[0].ID); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(<-done)
	attempts, err := shop.Attempts(ctx, p.Deliveries[0].ID)
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, a := range attempts {
		fmt.Println(a.Number, a.Outcome, a.Status)
	}
	// Output:
	// failed
	// delivered
	// 1 failed 502
	// 2 delivered 200
}

// The operator's page shows what waits, and for which endpoints.
func ExampleOutbox_Stats() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "outbox")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	key, err := outbox.NewSealingKey("example", []byte("32 random bytes, from elsewhere!"))
	if err != nil {
		fmt.Println(err)
		return
	}
	o, err := outbox.OpenSQLite(ctx, filepath.Join(dir, "outbox.db"), outbox.WithSealingKeys(key),
		outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))) // for this example's endpoint
	if err != nil {
		fmt.Println(err)
		return
	}
	defer o.Close()
	shop := o.App("shop")
	_, _, err = shop.CreateEndpoint(ctx, outbox.EndpointConfig{URL: sender.NewURL("http://127.0.0.1:1/hooks")})
	if err != nil {
		fmt.Println(err)
		return
	}
	_, err = shop.Publish(ctx, &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production",
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	stats, err := o.Stats(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("pending", stats.Pending, "due", stats.Due, "in flight", stats.InFlight)
	for _, e := range stats.Endpoints {
		fmt.Println(e.App, e.State, "pending", e.Pending, "dead letters", e.Failed)
	}
	// Output:
	// pending 1 due 1 in flight 0
	// shop active pending 1 dead letters 0
}
