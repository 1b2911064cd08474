package redisdedupe_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const event = `{"event":"deploy.started","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_a1b2c3d4","app":"api-service"}`

// endpoint is a receiver behind HTTP, and its sender.
type endpoint struct {
	t       testing.TB
	url     string
	scheme  *signer.Standard
	effects atomic.Int64
	handle  func(ctx context.Context) error // nil only counts calls
}

func newEndpoint(t testing.TB, store dedupe.Store, opts ...receiver.Option) *endpoint {
	t.Helper()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	rcv, err := receiver.New(scheme, append([]receiver.Option{
		receiver.WithDedupe(store, "platform"),
		receiver.WithLogger(slog.New(slog.DiscardHandler)),
		receiver.WithLease(3 * time.Second), // some tests wait for its end
	}, opts...)...)
	require.NoError(t, err)
	e := &endpoint{t: t, scheme: scheme}
	server := httptest.NewServer(rcv.Events(func(ctx context.Context, _ *payload.Event) error {
		e.effects.Add(1)
		if e.handle == nil {
			return nil
		}
		return e.handle(ctx)
	}))
	t.Cleanup(server.Close)
	e.url = server.URL
	return e
}

type answer struct {
	status     int
	body       string
	retryAfter time.Duration
}

func (e *endpoint) post(id string) answer {
	e.t.Helper()
	r, err := http.NewRequestWithContext(e.t.Context(), http.MethodPost, e.url, bytes.NewReader([]byte(event)))
	require.NoError(e.t, err)
	r.Header.Set("Content-Type", "application/json")
	require.NoError(e.t, e.scheme.Sign(r.Context(), r, id, time.Now(), []byte(event)))
	resp, err := http.DefaultClient.Do(r)
	require.NoError(e.t, err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	require.NoError(e.t, err)
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
	return answer{resp.StatusCode, body.String(), time.Duration(seconds) * time.Second}
}

// retry posts until the answer is a success, as a sender does.
func (e *endpoint) retry(id string) (last answer) {
	e.t.Helper()
	require.Eventually(e.t, func() bool {
		last = e.post(id)
		return last.status == http.StatusOK
	}, patience, 100*time.Millisecond)
	return last
}

func requireUnavailable(t testing.TB, a answer) {
	t.Helper()
	require.Equal(t, http.StatusServiceUnavailable, a.status, a.body)
	require.Positive(t, a.retryAfter)
}

const (
	received  = `{"received":true}`
	duplicate = `{"received":true,"duplicate":true}`
)

func TestReceiverWithoutConnection(t *testing.T) {
	t.Parallel()
	l := newLossy(t, -1)
	e := newEndpoint(t, l.store, receiver.WithStoreTimeout(patience))
	require.JSONEq(t, received, e.post("whk_before").body)

	l.sever()
	requireUnavailable(t, e.post("whk_new"))
	requireUnavailable(t, e.post("whk_before"))
	require.EqualValues(t, 1, e.effects.Load(), "no delivery is handled without a claim")
	l.restore()
	require.JSONEq(t, received, e.retry("whk_new").body)
	require.JSONEq(t, duplicate, e.retry("whk_before").body)
	require.EqualValues(t, 2, e.effects.Load())
}

// The answer to the claim is lost, so the delivery is not handled. The retry
// after the lease is handled.
func TestReceiverLosesAnswerToClaim(t *testing.T) {
	t.Parallel()
	l := newLossy(t, -1)
	e := newEndpoint(t, l.store)
	l.lose(t, 1)
	requireUnavailable(t, e.post("whk_1"))
	require.EqualValues(t, 0, e.effects.Load())
	require.JSONEq(t, received, e.retry("whk_1").body)
	require.EqualValues(t, 1, e.effects.Load())
	require.JSONEq(t, duplicate, e.post("whk_1").body)
}

// The answer to the completion is lost although it took effect, so the retry is
// a duplicate.
func TestReceiverLosesAnswerToCompletion(t *testing.T) {
	t.Parallel()
	l := newLossy(t, -1)
	e := newEndpoint(t, l.store)
	e.handle = func(context.Context) error { l.loseAnswers.Store(1); return nil }
	requireUnavailable(t, e.post("whk_1"))
	require.EqualValues(t, 1, e.effects.Load())
	require.JSONEq(t, duplicate, e.retry("whk_1").body)
	require.EqualValues(t, 1, e.effects.Load())
}

// The connection is lost between claim and completion. The sender gets no
// success, and a retry is handled when the lease has ended.
func TestReceiverLosesConnectionWhileHandling(t *testing.T) {
	t.Parallel()
	l := newLossy(t, -1)
	e := newEndpoint(t, l.store, receiver.WithStoreTimeout(patience))
	e.handle = func(context.Context) error {
		if e.effects.Load() == 1 {
			l.sever()
		}
		return nil
	}
	requireUnavailable(t, e.post("whk_1"))
	require.EqualValues(t, 1, e.effects.Load())
	l.restore()
	require.JSONEq(t, received, e.retry("whk_1").body)
	require.EqualValues(t, 2, e.effects.Load())
	require.JSONEq(t, duplicate, e.post("whk_1").body)
	require.EqualValues(t, 2, e.effects.Load())
}

// The client library repeats commands by default, so the same losses have no
// effect.
func TestReceiverWithRepeatedCommands(t *testing.T) {
	t.Parallel()
	l := newLossy(t, 3)
	e := newEndpoint(t, l.store, receiver.WithLease(time.Minute), receiver.WithStoreTimeout(patience))
	e.handle = func(context.Context) error { l.loseAnswers.Store(2); return nil }
	l.lose(t, 2)
	require.JSONEq(t, received, e.post("whk_1").body)
	require.EqualValues(t, 1, e.effects.Load())
	require.JSONEq(t, duplicate, e.post("whk_1").body)
}

func TestReceiverWithPausedServer(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t)
	s := newStore(t, newClient(t, options(t, server.URL())))
	e := newEndpoint(t, s, receiver.WithStoreTimeout(3*time.Second))
	require.JSONEq(t, received, e.retry("whk_before").body)
	server.Pause()
	start := time.Now()
	requireUnavailable(t, e.post("whk_1"))
	requireUnavailable(t, e.post("whk_before"))
	require.Less(t, time.Since(start), patience)
	server.Resume()
	require.JSONEq(t, received, e.retry("whk_1").body)
	require.JSONEq(t, duplicate, e.retry("whk_before").body)
	require.EqualValues(t, 2, e.effects.Load())
}

func TestReceiverWithFullServer(t *testing.T) {
	t.Parallel()
	server := servicetest.StartRedis(t, "--maxmemory", "8mb", "--maxmemory-policy", "noeviction")
	client := newClient(t, options(t, server.URL()))
	e := newEndpoint(t, newStore(t, client), receiver.WithLease(time.Minute))
	require.JSONEq(t, received, e.post("whk_before").body)
	e.handle = func(context.Context) error {
		if e.effects.Load() == 2 {
			fill(t, client)
		}
		return nil
	}
	require.JSONEq(t, received, e.post("whk_during").body, "a delivery in flight can still be completed")
	requireUnavailable(t, e.post("whk_new"))
	require.JSONEq(t, duplicate, e.post("whk_before").body)
	require.JSONEq(t, duplicate, e.post("whk_during").body)
	require.EqualValues(t, 2, e.effects.Load())
	require.NoError(t, client.ConfigSet(t.Context(), "maxmemory", "100mb").Err())
	require.JSONEq(t, received, e.post("whk_new").body)
	require.EqualValues(t, 3, e.effects.Load())
}
