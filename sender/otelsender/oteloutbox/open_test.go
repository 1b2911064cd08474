package oteloutbox_test

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
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/internal/teltest"
	"github.com/deployhook/deployhook/sender/otelsender/oteloutbox"
	"github.com/deployhook/deployhook/sender/outbox"
)

const patience = 10 * time.Minute // only a hang takes longer

func newOutbox(t *testing.T, m *teltest.Memory) *outbox.Outbox {
	t.Helper()
	secret := make([]byte, 32)
	_, _ = rand.Read(secret)
	key, err := outbox.NewSealingKey("k1", secret)
	require.NoError(t, err)
	o, err := outbox.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "outbox.db"), outbox.WithSealingKeys(key),
		outbox.WithLogger(slog.New(slog.DiscardHandler)), outbox.WithSender(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"))),
		outbox.WithSchedule("quick", func() backoff.BackOff { return backoff.WithMaxRetries(backoff.NewConstantBackOff(time.Millisecond), 1) }),
		outbox.WithTelemetry(oteloutbox.Open(m.Options()...)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, o.Close()) })
	return o
}

func event(typ payload.Type) *payload.Event {
	return &payload.Event{Type: typ, Timestamp: time.Now(), DeploymentID: "dep_1", App: "api", Environment: "production"}
}

// Each attempt has a trace of its own, linked to the publication.
func TestOpen_LinksAttemptsToThePublication(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	o := newOutbox(t, m)
	var calls atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1) == 1 {
			w.WriteHeader(500)
		}
	}))
	t.Cleanup(server.Close)
	_, _, err := o.App("shop").CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(server.URL), Schedule: "quick"})
	require.NoError(t, err)
	ctx, outer := m.Tracers.Tracer("caller").Start(t.Context(), "deploy")
	_, err = o.App("shop").Publish(ctx, event(payload.DeployLive))
	require.NoError(t, err)
	outer.End()
	require.NoError(t, o.Start(t.Context()))
	require.Eventually(t, func() bool {
		return m.Read()["deployhook.outbox.deliveries{deployhook.event.type=deploy.live,deployhook.state=delivered}"] == 1
	}, patience, 10*time.Millisecond)
	require.NoError(t, o.Stop(t.Context()))

	spans := m.Spans.GetSpans()
	require.Len(t, spans, 4)
	publish := spans[0]
	require.Equal(t, "publish deploy.live", publish.Name)
	require.Equal(t, trace.SpanKindProducer, publish.SpanKind)
	require.Equal(t, outer.SpanContext().SpanID(), publish.Parent.SpanID())
	for i, s := range spans[2:] {
		require.Equal(t, "attempt deploy.live", s.Name)
		require.False(t, s.Parent.IsValid())
		require.NotEqual(t, publish.SpanContext.TraceID(), s.SpanContext.TraceID())
		require.Len(t, s.Links, 1)
		require.Equal(t, publish.SpanContext.SpanID(), s.Links[0].SpanContext.SpanID())
		require.Equal(t, publish.SpanContext.TraceID(), s.Links[0].SpanContext.TraceID())
		require.Equal(t, []codes.Code{codes.Error, codes.Unset}[i], s.Status.Code)
	}
	require.NotEqual(t, spans[2].SpanContext.TraceID(), spans[3].SpanContext.TraceID())
}

func TestOpen_Metrics(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	o := newOutbox(t, m)
	shop := o.App("shop")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(500) }))
	t.Cleanup(server.Close)
	_, _, err := shop.CreateEndpoint(t.Context(), outbox.EndpointConfig{URL: sender.NewURL(server.URL), Schedule: "quick"})
	require.NoError(t, err)
	_, err = shop.Publish(t.Context(), event("invented.by.customer"), outbox.WithEventID("evt_1"))
	require.NoError(t, err)
	_, err = shop.Publish(t.Context(), event(payload.DeployLive), outbox.WithEventID("evt_1"))
	require.ErrorIs(t, err, outbox.ErrConflict)
	_, err = shop.Publish(t.Context(), &payload.Event{})
	require.Error(t, err)
	_, err = o.App("unknown").Publish(t.Context(), event(payload.DeployLive))
	require.ErrorIs(t, err, outbox.ErrUnknownApp)
	got := m.Read()
	for name, want := range map[string]float64{
		"deployhook.outbox.up{}": 1, "deployhook.outbox.pending{}": 1, "deployhook.outbox.due{}": 1, "deployhook.outbox.in_flight{}": 0,
		"deployhook.outbox.dead{}": 0, "deployhook.outbox.endpoints{deployhook.state=active}": 1,
		"deployhook.outbox.endpoints{deployhook.state=disabled}": 0, "deployhook.outbox.breakers{deployhook.state=open}": 0,
		"deployhook.outbox.breakers{deployhook.state=half_open}": 0, "deployhook.outbox.oldest_breaker.age{}": 0,
		published(""): 1, published("error.type=conflict,"): 1, published("error.type=invalid,"): 1, published("error.type=unknown_app,"): 1,
	} {
		require.Contains(t, got, name)
		require.Equal(t, want, got[name], name)
	}
	require.Positive(t, got["deployhook.outbox.oldest_due.age{}"])

	require.NoError(t, o.Start(t.Context()))
	const dead = "deployhook.outbox.deliveries{deployhook.event.type=other,deployhook.state=failed,error.type=status}"
	require.Eventually(t, func() bool { return m.Read()[dead] == 1 }, patience, 10*time.Millisecond)
	require.EqualValues(t, 1, m.Read()["deployhook.sender.retries{deployhook.outcome=failed}"])
	require.NoError(t, o.Close())
	require.NotContains(t, m.Read(), "deployhook.outbox.up{}", "nothing is read after Close")
}

func published(kind string) string {
	return "messaging.client.operation.duration{" + kind + "messaging.operation.name=publish,messaging.system=deployhook}"
}

func TestOpen_ReportsMistakes(t *testing.T) {
	t.Parallel()
	_, err := oteloutbox.Open(otelsender.WithMeterProvider(nil))(func(context.Context) (outbox.Stats, error) { return outbox.Stats{}, nil })
	require.ErrorContains(t, err, "oteloutbox: WithMeterProvider: the provider is nil")
}
