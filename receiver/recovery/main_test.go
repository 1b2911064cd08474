package recovery_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"flag"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/recoverytest"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/recovery"
	"github.com/deployhook/deployhook/signer"
)

var deliveries = flag.Int("recovery.deliveries", 1000, "deliveries in the log of the long tests; the gate has 10,000")

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	token  = "secret-token-of-the-api"
	secret = "a webhook secret of some length"
	hookID = 7
)

// handled counts the calls of a receiver's handler by the signed ID, or by the
// body if none is signed.
type handled struct {
	mu    sync.Mutex
	times map[string]int
}

func (h *handled) ServeHTTP(_ http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if d, ok := receiver.FromContext(r.Context()); ok {
		h.times[cmp.Or(d.ID, string(d.Body))]++
	}
}

// requireOnce requires that the handler ran once for each of n deliveries.
func (h *handled) requireOnce(t *testing.T, n int) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	require.Len(t, h.times, n)
	for id, times := range h.times {
		require.Equal(t, 1, times, id)
	}
}

// newReceiver returns a real receiver. It remembers deliveries longer than the
// logs do.
func newReceiver(t *testing.T, v signer.Verifier) (http.Handler, *handled) {
	t.Helper()
	store, err := dedupe.NewMemory(dedupe.WithTTL(8 * 24 * time.Hour))
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	rcv, err := receiver.New(v, receiver.WithDedupe(store, "test"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	h := &handled{times: map[string]int{}}
	return rcv.Wrap(h), h
}

func newGitHub(t *testing.T) (*recoverytest.GitHub, *handled) {
	t.Helper()
	key, err := signer.NewLiteralSecret(secret)
	require.NoError(t, err)
	scheme, err := signer.NewGitHub(key)
	require.NoError(t, err)
	rcv, h := newReceiver(t, scheme)
	return &recoverytest.GitHub{Path: "/repos/acme/api/hooks/7/deliveries", Secret: secret, Fake: recoverytest.Fake{Receiver: rcv, Token: token}}, h
}

func newGitLab(t *testing.T) (*recoverytest.GitLab, *handled) {
	t.Helper()
	key := []byte(secret)[:24]
	signing, err := signer.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString(key))
	require.NoError(t, err)
	scheme, err := signer.NewStandard(signing)
	require.NoError(t, err)
	rcv, h := newReceiver(t, scheme)
	return &recoverytest.GitLab{Path: "/api/v4/projects/acme%2Fapi/hooks/7/events", Key: key, Fake: recoverytest.Fake{Receiver: rcv, Token: token}}, h
}

func tokens(context.Context) (string, error) { return token, nil }

var (
	repository = recovery.GitHubRepository("acme", "api", hookID)
	project    = recovery.GitLabProject("acme/api", hookID)
)

func newClient(t *testing.T, log recovery.Log, api http.RoundTripper, opts ...recovery.Option) *recovery.Client {
	t.Helper()
	c, err := recovery.New(log, tokens, append([]recovery.Option{recovery.WithTransport(api), recovery.WithLogger(slog.New(slog.DiscardHandler))}, opts...)...)
	require.NoError(t, err)
	return c
}

// publisher is a fake of a platform.
type publisher interface {
	Publish(way recoverytest.Way) string
}

// publish lets n events happen over two days. 3 % of them are missed, in each
// of the possible ways. It returns the keys of the missed ones.
func publish(p publisher, n int) []string {
	var missed []string
	for i := range n {
		way := recoverytest.Accepted
		if i%100 < 3 {
			way = recoverytest.Unreachable + recoverytest.Way(i%100)
		}
		if key := p.Publish(way); way != recoverytest.Accepted {
			missed = append(missed, key)
		}
		time.Sleep(48 * time.Hour / time.Duration(n)) // in the bubble of the caller
	}
	return missed
}
