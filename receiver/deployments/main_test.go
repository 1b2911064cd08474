package deployments_test

import (
	"bytes"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var quiet = deployments.WithLogger(slog.New(slog.DiscardHandler))

func newScheme(t testing.TB, opts ...signer.Option) *signer.Standard {
	t.Helper()
	s, err := signer.NewStandard(signer.GenerateSecret(), opts...)
	require.NoError(t, err)
	return s
}

// signedRequest returns a valid delivery with a new ID.
func signedRequest(t testing.TB, s signer.Signer, body string) *http.Request {
	t.Helper()
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, s.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now(), []byte(body)))
	return r
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}
