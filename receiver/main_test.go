package receiver_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/memnet"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const eventBody = `{"event":"deploy.started","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_a1b2c3d4","app":"api-service","environment":"production","commit":{"sha":"f4c8e2a","message":"fix: resolve timeout in payment handler","author":"dana@example.com","branch":"main"},"triggered_by":"git_push"}`

func newScheme(t testing.TB, opts ...signer.Option) *signer.Standard {
	t.Helper()
	s, err := signer.NewStandard(signer.GenerateSecret(), opts...)
	require.NoError(t, err)
	return s
}

func newMemory(t testing.TB, opts ...dedupe.MemoryOption) *dedupe.Memory {
	t.Helper()
	store, err := dedupe.NewMemory(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	return store
}

func newReceiver(t testing.TB, v signer.Verifier, opts ...receiver.Option) *receiver.Receiver {
	t.Helper()
	rcv, err := receiver.New(v, append([]receiver.Option{receiver.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(t, err)
	return rcv
}

// signedRequest returns a valid delivery. An empty id gives it a new ID.
func signedRequest(t testing.TB, s signer.Signer, id, body string) *http.Request {
	t.Helper()
	if id == "" {
		id = payload.NewDeliveryID()
	}
	r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", bytes.NewReader([]byte(body)))
	r.Header.Set("Content-Type", "application/json")
	require.NoError(t, s.Sign(r.Context(), r, id, time.Now(), []byte(body)))
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func ok(context.Context, *payload.Event) error { return nil }

// dial returns the client's end of a connection to a server of h. It is in
// memory, so deadlines work in a synctest bubble.
func dial(t *testing.T, h http.Handler) net.Conn {
	t.Helper()
	server := memnet.Serve(netip.MustParseAddrPort("127.0.0.1:80"), h)
	t.Cleanup(server.Close)
	conn, err := server.Dial(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}
