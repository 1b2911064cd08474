package otelsender_test

import (
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/sender/otelsender"
	"github.com/deployhook/deployhook/sender/otelsender/internal/teltest"
)

func newSender(t *testing.T, opts ...otelsender.Option) *sender.Sender {
	t.Helper()
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")),
		sender.WithSchedule(sender.Scaled(sender.Pipeline, 0.0001)), sender.WithTelemetry(otelsender.Open(opts...)))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func event(typ payload.Type) *payload.Event {
	return &payload.Event{Type: typ, Timestamp: time.Now(), DeploymentID: "dep_1", App: "api", Environment: "production"}
}

// failOnce answers 500, and then 200.
func failOnce(t *testing.T) (url string, traces *[]string) {
	t.Helper()
	traces = new([]string)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*traces = append(*traces, r.Header.Get("Traceparent"))
		if len(*traces) == 1 {
			w.WriteHeader(500)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL, traces
}

func TestOpen_CountsAttempts(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	s := newSender(t, m.Options(otelsender.WithAttributes(attribute.String("region", "eu")))...)
	url, _ := failOnce(t)
	ep := sender.Endpoint{URL: sender.NewURL(url), Signer: sender.InsecureUnsigned()}
	for _, typ := range []payload.Type{payload.DeployLive, "invented.by.customer"} {
		_, err := s.Send(t.Context(), ep, event(typ))
		require.NoError(t, err)
	}
	_, err := s.Send(t.Context(), sender.Endpoint{URL: sender.NewURL("https://10.0.0.1/secret"), Signer: sender.InsecureUnsigned()}, event(payload.DeployLive))
	require.ErrorIs(t, err, sender.ErrRefused)
	got := m.Read()
	for name, want := range map[string]float64{
		"attempts{deployhook.event.type=deploy.live,deployhook.outcome=failed,error.type=status,region=eu}": 1,
		"attempts{deployhook.event.type=deploy.live,deployhook.outcome=delivered,region=eu}":                1,
		"attempts{deployhook.event.type=other,deployhook.outcome=delivered,region=eu}":                      1,
		"retries{deployhook.outcome=delivered,region=eu}":                                                   1,
		"attempts.in_flight{region=eu}":                                                                     0,
		"attempt.duration{deployhook.outcome=delivered,region=eu}":                                          2,
		"attempt.phase.duration{deployhook.phase=first_byte,region=eu}":                                     3,
		"deliveries{deployhook.event.type=deploy.live,deployhook.outcome=delivered,region=eu}":              1,
		"deliveries{deployhook.event.type=deploy.live,deployhook.outcome=refused,region=eu}":                1,
	} {
		require.Contains(t, got, "deployhook.sender."+name)
		require.Equal(t, want, got["deployhook.sender."+name], name)
	}
	require.Positive(t, got["deployhook.sender.attempt.phase.duration{deployhook.phase=connect,region=eu}"])
}

// The attempts are children of the caller's span, and each sends its own trace.
func TestOpen_SpansOfAttempts(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	s := newSender(t, m.Options()...)
	url, traces := failOnce(t)
	ctx, outer := m.Tracers.Tracer("caller").Start(t.Context(), "deploy")
	_, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(url + "/s3cret-canary"), Signer: sender.InsecureUnsigned()}, event(payload.DeployLive))
	require.NoError(t, err)
	outer.End()
	spans := m.Spans.GetSpans()
	require.Len(t, spans, 3)
	for i, span := range spans[:2] {
		require.Equal(t, "attempt deploy.live", span.Name)
		require.Equal(t, trace.SpanKindClient, span.SpanKind)
		require.Equal(t, outer.SpanContext().SpanID(), span.Parent.SpanID())
		require.Equal(t, "00-"+span.SpanContext.TraceID().String()+"-"+span.SpanContext.SpanID().String()+"-01", (*traces)[i])
		require.Equal(t, []codes.Code{codes.Error, codes.Unset}[i], span.Status.Code)
		set := attribute.NewSet(span.Attributes...)
		require.NotContains(t, set.Encoded(attribute.DefaultEncoder()), "canary")
	}
	set := attribute.NewSet(spans[1].Attributes...)
	require.Regexp(t, `^deployhook.event.type=deploy.live,deployhook.outcome=delivered,http.request.method=POST,http.request.resend_count=1,`+
		`http.response.status_code=200,messaging.message.body.size=\d+,messaging.message.id=whk_\w+,messaging.system=deployhook,`+
		`network.peer.address=127.0.0.1,network.peer.port=\d+,server.address=127.0.0.1,server.port=\d+$`, set.Encoded(attribute.DefaultEncoder()))
}

// Baggage of the caller does not reach an endpoint.
func TestOpen_SendsNoBaggage(t *testing.T) {
	t.Parallel()
	m := teltest.New(t)
	s := newSender(t, m.Options()...)
	var got http.Header
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header }))
	t.Cleanup(server.Close)
	ctx := propagation.Baggage{}.Extract(t.Context(), propagation.MapCarrier{"baggage": "customer=acme"})
	_, err := s.Send(ctx, sender.Endpoint{URL: sender.NewURL(server.URL), Signer: sender.InsecureUnsigned()}, event(payload.DeployLive))
	require.NoError(t, err)
	require.NotEmpty(t, got["Traceparent"])
	require.NotContains(t, got, "Baggage")
}

func TestOpen_ReportsMistakes(t *testing.T) {
	t.Parallel()
	_, err := sender.New(sender.WithTelemetry(otelsender.Open(nil, otelsender.WithMeterProvider(nil), otelsender.WithTracerProvider(nil),
		otelsender.WithPropagator(nil), otelsender.WithEventTypes())))
	require.ErrorIs(t, err, sender.ErrConfig)
	for _, part := range []string{
		"WithTelemetry: otelsender: ", "a nil Option", "WithMeterProvider: the provider is nil", "WithTracerProvider: the provider is nil",
		"WithPropagator: the propagator is nil", "WithEventTypes: names no type",
	} {
		require.ErrorContains(t, err, part)
	}
}
