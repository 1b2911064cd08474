// A delivery is counted, and so is an event in an outbox.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

func main() {
	if err := run(context.Background(), "outbox.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	reader := sdkmetric.NewManualReader()
	meters := otelsender.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")), sender.WithTelemetry(otelsender.Open(meters)))
	if err != nil {
		return err
	}
	defer s.Close()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	event := &payload.Event{Type: payload.DeployLive, Timestamp: time.Now(), DeploymentID: "dep_1", App: "shop", Environment: "production"}
	if _, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: sender.InsecureUnsigned()}, event); err != nil {
		return err
	}
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	key, err := outbox.NewSealingKey("k1", secret)
	if err != nil {
		return err
	}
	o, err := outbox.OpenSQLite(ctx, file, outbox.WithSealingKeys(key), outbox.WithTelemetry(oteloutbox.Open(meters)))
	if err != nil {
		return err
	}
	defer o.Close()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		return err
	}
	names := map[string]bool{}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			names[m.Name] = true
		}
	}
	if !names["deployhook.sender.attempts"] || !names["deployhook.outbox.pending"] {
		return fmt.Errorf("the metrics are %v", names)
	}
	return nil
}
