package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/service"
)

// Prometheus gets the metrics of the receivers and of readiness, also before
// the first request.
func TestMetrics(t *testing.T) {
	t.Parallel()
	telemetry, err := newTelemetry()
	require.NoError(t, err)
	mux, _, err := newMux(config{getenv: func(string) string { return "" }, telemetry: telemetry})
	require.NoError(t, err)
	st, err := openMemory()
	require.NoError(t, err)
	defer func() { require.NoError(t, st.close()) }()
	_, err = service.New(mux, service.WithCheck("deliveries", st.dedupeReady), telemetry.health)
	require.NoError(t, err)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), `deployhook_service_ready{deployhook_check="deliveries"`)
}
