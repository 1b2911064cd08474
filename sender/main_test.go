package sender_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) {
	leaktest.Parallel(8)
	leaktest.Main(m)
}

// patience is how long tests wait for an event that must happen. Only a hang
// takes longer.
const patience = 5 * time.Minute

// canary stands for every secret. It must be in no error and no record.
const canary = "canary-5f0e9d3c7b1a"

func loopback() sender.Option {
	return sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"))
}

// newSender returns a Sender that may go to loopback.
func newSender(t testing.TB, opts ...sender.Option) *sender.Sender {
	t.Helper()
	s, err := sender.New(append([]sender.Option{loopback()}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}

func standard(t testing.TB) *signer.Standard {
	t.Helper()
	s, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	return s
}

func serve(t testing.TB, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server
}

func message() sender.Message {
	return sender.Message{ID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10", Type: payload.DeployLive, Body: []byte(`{"event":"deploy.live"}`)}
}

func event() *payload.Event {
	return &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "dep_a1b2c3d4",
		App: "api-service", Environment: "production",
	}
}

// signFunc is a Signer made of a function.
type signFunc func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error

func (f signFunc) Sign(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
	return f(ctx, r, id, at, body)
}

// transport is a RoundTripper made of a function, for tests in which time is
// virtual.
type transport func(n int, r *http.Request) (*http.Response, error)

type counting struct {
	n atomic.Int64
	f transport
}

func (c *counting) RoundTrip(r *http.Request) (*http.Response, error) {
	n := int(c.n.Add(1))
	_, err := io.Copy(io.Discard, r.Body)
	if err != nil {
		return nil, err
	}
	return c.f(n, r)
}

// fake replaces the network of s by f, which gets the number of the request,
// from 1.
func fake(s *sender.Sender, f transport) *counting {
	c := &counting{f: f}
	sender.SetRoundTripper(s, c)
	return c
}

// answer makes a response. fields are names and values in turn.
func answer(status int, fields ...string) (*http.Response, error) {
	h := http.Header{}
	for i := 0; i < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(""))}, nil
}

// statuses answers with each status in turn, and with the last one for ever.
func statuses(codes ...int) transport {
	return func(n int, _ *http.Request) (*http.Response, error) { return answer(codes[min(n, len(codes))-1]) }
}

func attempt(t testing.TB, s *sender.Sender, ep sender.Endpoint) sender.Attempt {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return s.Attempt(ctx, ep, message())
}
