package main

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// Prometheus gets the metrics of the receivers, also before the first request.
func TestMetrics(t *testing.T) {
	t.Parallel()
	mux, _, err := newMux(config{getenv: func(string) string { return "" }})
	require.NoError(t, err)
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	require.Equal(t, 200, w.Code)
	require.Contains(t, w.Body.String(), "target_info")
}
