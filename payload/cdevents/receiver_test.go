package cdevents_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

// TestThroughReceiver checks what the package documentation says about package
// receiver. Signed deliveries pass through Wrap in both modes. In binary mode
// the unsigned ce- headers are compared with the body.
func TestThroughReceiver(t *testing.T) {
	t.Parallel()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	rcv, err := receiver.New(scheme, receiver.InsecureNoDedupe(), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	want := deployment(t, payload.StatusSuccess)
	handler := rcv.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		e, err := cdevents.Decode(r.Header, body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		got, err := e.Deployment(payload.Deployment{})
		assert.NoError(t, err)
		assert.Equal(t, want, got)
	}))
	e, err := cdevents.FromDeployment(want, options)
	require.NoError(t, err)
	send := func(h http.Header, body []byte) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header = h
		require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now(), body))
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		return w.Code
	}
	records := rcv.Records(cdevents.NewDecoder(nil), func(_ context.Context, got *payload.Deployment) error {
		assert.Equal(t, want, got)
		return nil
	})
	for _, message := range []func() (http.Header, []byte){e.Binary, e.Structured} {
		h, body := message()
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", bytes.NewReader(body))
		r.Header = h
		require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now(), body))
		w := httptest.NewRecorder()
		records.ServeHTTP(w, r)
		assert.Equal(t, http.StatusOK, w.Code, "%s: no option is needed", h.Get("Content-Type"))
	}
	assert.Equal(t, http.StatusOK, send(e.Binary()))
	assert.Equal(t, http.StatusOK, send(e.Structured()))
	h, body := e.Binary()
	// the signature is still valid
	h.Set("ce-type", "dev.cdevents.service.removed.0.3.0")
	assert.Equal(t, http.StatusBadRequest, send(h, body))
}
