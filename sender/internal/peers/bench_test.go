package peers_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/hashicorp/go-retryablehttp"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// client is one way to post an event to url.
type client struct {
	name string
	make func(t testing.TB, url string) func(context.Context) error
}

// clients are a bare http.Client with a deadline, the same with a signature,
// go-retryablehttp and ours. All encode the event, read the answer's body and
// keep as many connections. Ours also records the attempt.
var clients = []client{
	{"floor=bare-client", func(t testing.TB, url string) func(context.Context) error { return bare(t, url, false) }},
	{"floor=bare-signed", func(t testing.TB, url string) func(context.Context) error { return bare(t, url, true) }},
	{"go-retryablehttp", retryable},
	{"ours=send", func(t testing.TB, url string) func(context.Context) error { return ours(t, url, true) }},
	{"ours=send-unsigned", func(t testing.TB, url string) func(context.Context) error { return ours(t, url, false) }},
}

func event() *payload.Event {
	return &payload.Event{
		Type: payload.DeployLive, Timestamp: time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC), DeploymentID: "dep_a1b2c3d4",
		DeliveryID: "whk_0198f2c4b1f07c3e9d5a6b7c8d9e0f10",
		App:        "api-service", Environment: "production", Version: "2.1.0",
		Error: string(bytes.Repeat([]byte("x"), 400)),
	}
}

func transport(t testing.TB) *http.Transport {
	tr := &http.Transport{MaxIdleConnsPerHost: 64, MaxIdleConns: 256}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

func bare(t testing.TB, url string, signed bool) func(context.Context) error {
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	c := &http.Client{Transport: transport(t), Timeout: sender.DefaultTimeout}
	e := event()
	return func(ctx context.Context) error {
		body, err := e.Encode()
		if err != nil {
			return err
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		if signed {
			if err := scheme.Sign(req.Context(), req, e.DeliveryID, time.Now(), body); err != nil {
				return err
			}
		}
		return finish(c.Do(req))
	}
}

func retryable(t testing.TB, url string) func(context.Context) error {
	c := retryablehttp.NewClient()
	c.Logger = nil
	c.HTTPClient = &http.Client{Transport: transport(t), Timeout: sender.DefaultTimeout}
	e := event()
	return func(ctx context.Context) error {
		body, err := e.Encode()
		if err != nil {
			return err
		}
		req, err := retryablehttp.NewRequestWithContext(ctx, http.MethodPost, url, body)
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		return finish(c.Do(req))
	}
}

func finish(resp *http.Response, err error) error {
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

func ours(t testing.TB, url string, signed bool) func(context.Context) error {
	s, err := sender.New(sender.AllowNetworks(netip.MustParsePrefix("127.0.0.0/8")))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	ep := sender.Endpoint{URL: sender.NewURL(url), Signer: sender.InsecureUnsigned()}
	if signed {
		ep.Signer, err = signer.NewStandard(signer.GenerateSecret())
		require.NoError(t, err)
	}
	e := event()
	return func(ctx context.Context) error {
		_, err := s.Send(ctx, ep, e)
		return err
	}
}

func serve(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"received":true}`)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// TestClients checks that the measured clients work.
func TestClients(t *testing.T) {
	t.Parallel()
	url := serve(t)
	for _, c := range clients {
		require.NoError(t, c.make(t, url)(t.Context()), c.name)
	}
}

// BenchmarkSend reports cpu-ns/op, the processor time of client and server
// together. Other processes disturb it less than the wall time.
func BenchmarkSend(b *testing.B) {
	url := serve(b)
	for _, goroutines := range []int{1, 64} {
		for _, c := range clients {
			b.Run("goroutines="+strconv.Itoa(goroutines)+"/"+c.name, func(b *testing.B) {
				measure(b, c.make(b, url), goroutines)
			})
		}
	}
}

func measure(b *testing.B, send func(context.Context) error, goroutines int) {
	b.ReportAllocs()
	begin := cpuTime()
	defer func() { b.ReportMetric(float64(cpuTime()-begin)/float64(b.N), "cpu-ns/op") }()
	if goroutines == 1 {
		for b.Loop() {
			if err := send(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		return
	}
	b.SetParallelism(max(1, goroutines/runtime.GOMAXPROCS(0)))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := send(context.Background()); err != nil {
				b.Error(err)
				return
			}
		}
	})
}
