package main

import (
	"context"
	"crypto/rand"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/inbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelinbox"
	"github.com/deployhook/deployhook/receiver/otelreceiver/otelservice"
	"github.com/deployhook/deployhook/receiver/service"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
)

const patience = 10 * time.Minute // only a hang takes longer

// world is a service with all parts that have telemetry.
type world struct {
	t       *testing.T
	tracers *sdktrace.TracerProvider
	spans   *tracetest.InMemoryExporter
	metrics *httptest.Server // serves /metrics

	secret   signer.Secret
	scheme   *signer.Standard
	outbox   *outbox.Outbox
	inbox    *inbox.Inbox
	sender   *sender.Sender
	received *httptest.Server // /receiver and /inbox
	failures atomic.Int32     // answers 500 to as many deliveries to the inbox
	handle   atomic.Pointer[receiver.EventHandler]
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, spans: tracetest.NewInMemoryExporter()}
	w.tracers = sdktrace.NewTracerProvider(sdktrace.WithSyncer(w.spans))
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	require.NoError(t, err)
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter))
	t.Cleanup(func() { require.NoError(t, w.tracers.Shutdown(context.Background())) })
	t.Cleanup(func() { require.NoError(t, meters.Shutdown(context.Background())) })
	w.metrics = httptest.NewServer(promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	t.Cleanup(w.metrics.Close)
	w.secret = signer.GenerateSecret()
	w.scheme, err = signer.NewStandard(w.secret)
	require.NoError(t, err)
	w.handled(func(context.Context, *payload.Event) error { return nil })
	w.openReceivers(otelreceiver.WithMeterProvider(meters), otelreceiver.WithTracerProvider(w.tracers))
	w.openSenders(otelsender.WithMeterProvider(meters), otelsender.WithTracerProvider(w.tracers))
	return w
}

// handled sets the handler of the inbox.
func (w *world) handled(h receiver.EventHandler) { w.handle.Store(&h) }

func quick() backoff.BackOff {
	return backoff.WithMaxRetries(backoff.NewConstantBackOff(10*time.Millisecond), 1)
}

func (w *world) openReceivers(opts ...otelreceiver.Option) {
	w.t.Helper()
	quiet := slog.New(slog.DiscardHandler)
	store, err := dedupe.NewMemory()
	require.NoError(w.t, err)
	rcv, err := receiver.New(w.scheme, receiver.WithDedupe(store, "ci"), receiver.WithLogger(quiet), receiver.WithTelemetry(otelreceiver.Open(opts...)))
	require.NoError(w.t, err)
	w.inbox, err = inbox.OpenSQLite(w.t.Context(), filepath.Join(w.t.TempDir(), "inbox.db"),
		func(ctx context.Context, e *payload.Event) error { return (*w.handle.Load())(ctx, e) },
		inbox.WithLogger(quiet), inbox.WithRetrySchedule(quick), inbox.WithTelemetry(otelinbox.Open(opts...)))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, w.inbox.Close()) })
	hook, err := w.inbox.Handler(w.scheme, "platform")
	require.NoError(w.t, err)
	_, err = service.New(http.NotFoundHandler(), service.WithLogger(quiet), service.WithCheck("deliveries", store.Ready), service.WithCheck("inbox", w.inbox.Ready),
		service.WithTelemetry(otelservice.Open(opts...)))
	require.NoError(w.t, err)
	mux := http.NewServeMux()
	mux.Handle("/receiver", rcv.Events(func(context.Context, *payload.Event) error { return nil }))
	mux.Handle("/inbox", http.HandlerFunc(func(a http.ResponseWriter, r *http.Request) {
		if w.failures.Add(-1) >= 0 {
			a.WriteHeader(500)
			return
		}
		hook.ServeHTTP(a, r)
	}))
	mux.Handle("/failing", http.HandlerFunc(func(a http.ResponseWriter, _ *http.Request) { a.WriteHeader(500) }))
	w.received = httptest.NewServer(mux)
	w.t.Cleanup(w.received.Close)
	require.NoError(w.t, w.inbox.Start(context.WithoutCancel(w.t.Context())))
}

func (w *world) openSenders(opts ...otelsender.Option) {
	w.t.Helper()
	loopback := sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))
	var err error
	w.sender, err = sender.New(loopback, sender.WithSchedule(sender.Once), sender.WithTelemetry(otelsender.Open(opts...)))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, w.sender.Close()) })
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	key, err := outbox.NewSealingKey("k1", secret)
	require.NoError(w.t, err)
	w.outbox, err = outbox.OpenSQLite(w.t.Context(), filepath.Join(w.t.TempDir(), "outbox.db"), outbox.WithSealingKeys(key),
		outbox.WithLogger(slog.New(slog.DiscardHandler)), outbox.WithSender(loopback), outbox.WithSchedule("quick", quick),
		outbox.WithTelemetry(oteloutbox.Open(opts...)))
	require.NoError(w.t, err)
	w.t.Cleanup(func() { require.NoError(w.t, w.outbox.Close()) })
	require.NoError(w.t, w.outbox.Start(w.t.Context()))
}

// subscribe makes an endpoint of the outbox that the receivers verify.
func (w *world) subscribe(path string) {
	w.t.Helper()
	_, _, err := w.outbox.App("shop").CreateEndpoint(w.t.Context(), outbox.EndpointConfig{
		URL: sender.NewURL(w.received.URL + path), Secret: outbox.NewSecret(w.secret.Reveal()), Schedule: "quick",
	})
	require.NoError(w.t, err)
}

func (w *world) publish(ctx context.Context, typ payload.Type) {
	w.t.Helper()
	_, err := w.outbox.App("shop").Publish(ctx, event(typ))
	require.NoError(w.t, err)
}

func event(typ payload.Type) *payload.Event {
	return &payload.Event{Type: typ, Timestamp: time.Now(), DeploymentID: "dep_1", App: "api", Environment: "production"}
}
