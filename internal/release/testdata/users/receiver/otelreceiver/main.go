// A request that a receiver has handled is counted, and so is a delivery of an
// inbox.
package main

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
	"github.com/deployhook/deployhook/signer"
)

func main() {
	if err := run(context.Background(), "inbox.db"); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, file string) error {
	reader := sdkmetric.NewManualReader()
	meters := otelreceiver.WithMeterProvider(sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)))
	ignore := func(context.Context, *payload.Event) error { return nil }
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	if err != nil {
		return err
	}
	rcv, err := receiver.New(scheme, receiver.InsecureNoDedupe(), receiver.WithTelemetry(otelreceiver.Open(meters)))
	if err != nil {
		return err
	}
	in, err := inbox.OpenSQLite(ctx, file, ignore, inbox.WithTelemetry(otelinbox.Open(meters)))
	if err != nil {
		return err
	}
	defer in.Close()
	hook, err := in.Handler(scheme, "platform")
	if err != nil {
		return err
	}
	if got, later := post(rcv.Events(ignore), scheme), post(hook, scheme); got != 200 || later != 202 {
		return fmt.Errorf("the answers are %d and %d, want 200 and 202", got, later)
	}
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
	if !names["deployhook.receiver.requests"] || !names["deployhook.inbox.pending"] {
		return fmt.Errorf("the metrics are %v", names)
	}
	return nil
}

func post(h http.Handler, scheme signer.Signer) int {
	body := []byte(`{"event":"deploy.live","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"shop","environment":"production"}`)
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if err := scheme.Sign(r.Context(), r, "whk_1", time.Now(), body); err != nil {
		log.Print(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}
