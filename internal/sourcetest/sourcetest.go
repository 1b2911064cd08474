// Package sourcetest serves another system's webhook as a service would, and
// posts to it. The tests of the packages that read such webhooks use it.
package sourcetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// An EndToEnd describes the requests of a system's webhook.
type EndToEnd struct {
	// Verifier and Decode come from the package under test.
	Verifier signer.Verifier
	Decode   receiver.RecordDecoder
	// Sign adds a valid signature to a request, and Forge an invalid one. If
	// Forge is nil, the signature of another body is used.
	Sign, Forge func(h http.Header, body []byte)
	// Event is about a deployment, Other is about a second one, and Ignored is
	// not about a deployment. Invalid is an invalid event about a deployment.
	Event, Other, Ignored, Invalid []byte
	// Retry is the body of Event's retry. Nil means the same bytes.
	Retry []byte
	// InvalidText is the answer to Invalid after "Invalid payload: ".
	InvalidText string
	// Unauthorized is the answer to a forged request. The default is
	// {"error":"Invalid signature"}.
	Unauthorized string
}

// run is one webhook that is being served.
type run struct {
	EndToEnd
	server *httptest.Server
	store  *receivertest.Store
	lines  *lines

	got     []*payload.Deployment
	failure error // the handler's error
}

// Run serves the webhook over HTTP and posts to it.
func (e EndToEnd) Run(t *testing.T) {
	t.Helper()
	if e.Unauthorized == "" {
		e.Unauthorized = `{"error":"Invalid signature"}`
	}
	if e.Forge == nil {
		e.Forge = func(h http.Header, body []byte) { e.Sign(h, append([]byte(" "), body...)) }
	}
	s := &run{EndToEnd: e, store: receivertest.NewStore(t), lines: &lines{}}
	rcv, err := receiver.New(e.Verifier, receiver.WithDedupe(s.store, "test"),
		receiver.WithLogger(slog.New(slog.NewTextHandler(s.lines, nil))))
	require.NoError(t, err)
	s.server = httptest.NewServer(rcv.Records(e.Decode, func(_ context.Context, d *payload.Deployment) error {
		s.got = append(s.got, d)
		return s.failure
	}))
	t.Cleanup(s.server.Close)
	s.forged(t)
	s.handledOnce(t)
	s.neverClaimed(t)
	s.retried(t)
}

const handled, duplicate = `{"received":true}`, `{"received":true,"duplicate":true}`

// forged tests that forged requests are refused.
func (s *run) forged(t *testing.T) {
	t.Helper()
	s.post(t, s.Forge, s.Event, 401, s.Unauthorized, "unauthenticated")
	s.post(t, func(http.Header, []byte) {}, s.Event, 401, s.Unauthorized, "unauthenticated")
	s.post(t, func(h http.Header, body []byte) {
		s.Sign(h, body)
		h.Set("Content-Type", "application/x-www-form-urlencoded")
	}, s.Event, 415, `{"error":"Content-Type must be application/json, without Content-Encoding"}`, "refused")
	require.Empty(t, s.got)
}

func (s *run) handledOnce(t *testing.T) {
	t.Helper()
	want, err := s.Decode(t.Context(), s.Event)
	require.NoError(t, err)
	s.post(t, s.Sign, s.Event, 200, handled, "handled")
	require.Equal(t, []*payload.Deployment{want}, s.got)
	if s.Retry != nil {
		s.post(t, s.Sign, s.Retry, 200, duplicate, "duplicate")
	}
	s.post(t, s.Sign, s.Event, 200, duplicate, "duplicate")
	require.Len(t, s.got, 1)
}

// neverClaimed tests that ignored and invalid events do not reach the store.
func (s *run) neverClaimed(t *testing.T) {
	t.Helper()
	before := s.calls()
	s.post(t, s.Sign, s.Ignored, 200, `{"received":true,"ignored":true}`, "ignored")
	s.post(t, s.Sign, s.Invalid, 400, `{"error":"Invalid payload: `+s.InvalidText+`"}`, "invalid")
	s.post(t, s.Sign, []byte(`{not json`), 400, `{"error":"Invalid payload: body must be one valid JSON object and nothing else (error at byte 1)"}`, "invalid")
	require.Equal(t, before, s.calls())
	require.Len(t, s.got, 1)
}

// calls counts the calls that claim, complete or release.
func (s *run) calls() int {
	return s.store.Calls(receivertest.Claim) + s.store.Calls(receivertest.Complete) + s.store.Calls(receivertest.Release)
}

// retried tests that the claim of a failed handler is released, so that the
// retry runs.
func (s *run) retried(t *testing.T) {
	t.Helper()
	s.failure = errors.New("the database is down")
	s.post(t, s.Sign, s.Other, 500, `{"error":"Delivery was not handled"}`, "failed")
	s.failure = nil
	s.post(t, s.Sign, s.Other, 200, handled, "handled")
	require.Len(t, s.got, 3)
}

// post sends one request and checks the answer and the only log line.
func (s *run) post(t *testing.T, sign func(http.Header, []byte), body []byte, status int, want, outcome string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.server.URL, bytes.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Content-Type", "application/json")
	sign(r.Header, body)
	response, err := s.server.Client().Do(r)
	require.NoError(t, err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	assert.Equal(t, status, response.StatusCode, "%s", text)
	assert.Equal(t, want, string(text))
	require.Eventually(t, func() bool { return s.lines.len() > 0 }, time.Minute, time.Millisecond)
	line := s.lines.take()
	assert.Contains(t, line, "outcome="+outcome+" ")
	assert.Equal(t, 1, strings.Count(line, "\n"), line)
}

// lines collects log lines.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lines) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Len()
}

func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.buf.Reset()
	return l.buf.String()
}
