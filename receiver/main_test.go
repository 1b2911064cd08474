package receiver_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
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

// hookStore is a store whose calls a test can watch or make fail.
type hookStore struct {
	dedupe.Store
	ttl                              time.Duration
	claim, renew, complete, release  func() error
	mu                               sync.Mutex
	claims, renews, completes, frees int
}

func (s *hookStore) count(n *int, f func() error) error {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
	if f != nil {
		return f()
	}
	return nil
}

func (s *hookStore) renewals() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renews
}

func (s *hookStore) Claim(ctx context.Context, k dedupe.Key, lease time.Duration) (dedupe.Claim, error) {
	if err := s.count(&s.claims, s.claim); err != nil {
		return dedupe.Claim{}, err
	}
	return s.Store.Claim(ctx, k, lease)
}

func (s *hookStore) Renew(ctx context.Context, c dedupe.Claim, lease time.Duration) error {
	if err := s.count(&s.renews, s.renew); err != nil {
		return err
	}
	return s.Store.Renew(ctx, c, lease)
}

func (s *hookStore) Complete(ctx context.Context, c dedupe.Claim) error {
	if err := s.count(&s.completes, s.complete); err != nil {
		return err
	}
	return s.Store.Complete(ctx, c)
}

func (s *hookStore) Release(ctx context.Context, c dedupe.Claim) error {
	if err := s.count(&s.frees, s.release); err != nil {
		return err
	}
	return s.Store.Release(ctx, c)
}

func (s *hookStore) TTL() time.Duration {
	if s.ttl > 0 {
		return s.ttl
	}
	return s.Store.TTL()
}

// pipeServer is an HTTP server on in-memory connections. It runs in a synctest
// bubble, including its deadlines.
type pipeServer struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipeServer(t *testing.T, h http.Handler) *pipeServer {
	t.Helper()
	l := &pipeServer{conns: make(chan net.Conn), done: make(chan struct{})}
	server := &http.Server{Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = server.Serve(l)
	}()
	t.Cleanup(func() {
		_ = server.Close()
		<-stopped
		// fake time, because net/http lingers for half a second before it
		// closes a connection
		time.Sleep(time.Second)
	})
	return l
}

func (l *pipeServer) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *pipeServer) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *pipeServer) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// dial returns the client's end of a new connection.
func (l *pipeServer) dial(t *testing.T) net.Conn {
	t.Helper()
	client, server := net.Pipe()
	select {
	case l.conns <- server:
	case <-l.done:
		t.Fatal("the server is closed")
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func readAll(t testing.TB, r io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(r)
	require.NoError(t, err)
	return string(b)
}
