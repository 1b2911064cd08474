package main

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// checkHealth requires that the program and its stores are fine.
func checkHealth(t *testing.T, p *program) {
	t.Helper()
	for _, path := range []string{"/livez", "/readyz"} {
		resp, err := http.Get(p.base + path)
		require.NoError(t, err)
		_ = resp.Body.Close()
		assert.Equal(t, http.StatusOK, resp.StatusCode, path)
	}
	http.DefaultClient.CloseIdleConnections()
}
