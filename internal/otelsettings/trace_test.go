package otelsettings_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/deployhook/deployhook/internal/otelsettings"
)

// A Header is a HeaderCarrier, whatever the names are.
func TestHeader_IsAHeaderCarrier(t *testing.T) {
	t.Parallel()
	own, same := http.Header{}, http.Header{}
	a, b := otelsettings.Header{HeaderCarrier: propagation.HeaderCarrier(own)}, propagation.HeaderCarrier(same)
	for _, key := range []string{"traceparent", "tracestate", "Traceparent", "TRACESTATE", "baggage", "x-b3-traceid"} {
		a.Set(key, "value of "+key)
		b.Set(key, "value of "+key)
		require.Equal(t, b.Get(key), a.Get(key), key)
	}
	require.Equal(t, same, own)
}

func TestHeader_CarriesATrace(t *testing.T) {
	t.Parallel()
	state, err := trace.ParseTraceState("vendor=1")
	require.NoError(t, err)
	sent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled, TraceState: state})
	h := http.Header{}
	w3c := propagation.TraceContext{}
	w3c.Inject(trace.ContextWithSpanContext(t.Context(), sent), otelsettings.Header{HeaderCarrier: propagation.HeaderCarrier(h)})
	require.Equal(t, http.Header{"Traceparent": {"00-01000000000000000000000000000000-0200000000000000-01"}, "Tracestate": {"vendor=1"}}, h)
	got := trace.SpanContextFromContext(w3c.Extract(t.Context(), otelsettings.Header{HeaderCarrier: propagation.HeaderCarrier(h)}))
	require.True(t, got.Equal(sent.WithRemote(true)))
}
