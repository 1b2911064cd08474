package receiver_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// Every way in which a request can end, with the sender's answer and the
// operator's log line.
func TestAnswers(t *testing.T) {
	t.Parallel()
	fails := func(context.Context, *payload.Event) error { return errors.New("database: password is hunter2") }
	panics := func(context.Context, *payload.Event) error { panic("boom") }
	for _, c := range []struct {
		name    string
		handler receiver.EventHandler
		body    string
		change  func(*http.Request)
		store   func(*receivertest.Store)

		status     int
		want       string
		header     map[string]string
		outcome    receiver.Outcome
		claimsLeft bool // the request reached the store
	}{
		{name: "handled", status: 200, want: `{"received":true}`, outcome: receiver.Handled, claimsLeft: true},
		{
			name: "GET", change: func(r *http.Request) { r.Method = http.MethodGet },
			status: 405, want: `{"error":"Method not allowed"}`, header: map[string]string{"Allow": "POST"}, outcome: receiver.Refused,
		},
		{
			name: "text", change: func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") },
			status: 415, want: `{"error":"Content-Type must be application/json, without Content-Encoding"}`, outcome: receiver.Refused,
		},
		{
			name: "gzip", change: func(r *http.Request) { r.Header.Set("Content-Encoding", "gzip") },
			status: 415, want: `{"error":"Content-Type must be application/json, without Content-Encoding"}`, outcome: receiver.Refused,
		},
		{
			name: "too large", body: `{"x":"` + strings.Repeat("x", 2048) + `"}`,
			status: 413, want: `{"error":"Request body too large"}`, header: map[string]string{"Connection": "close"}, outcome: receiver.Refused,
		},
		{
			name: "forged", change: func(r *http.Request) { r.Header.Set("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"=") },
			status: 401, want: `{"error":"Invalid signature"}`, outcome: receiver.Unauthenticated,
		},
		{
			name: "invalid", body: `{"event":"deploy.started","timestamp":"2026-03-12T14:22:01Z","app":"api"}`,
			status: 400, want: `{"error":"Invalid payload: deployment_id is required"}`, outcome: receiver.Invalid,
		},
		{
			name: "handler fails", handler: fails,
			status: 500, want: `{"error":"Delivery was not handled"}`, outcome: receiver.Failed, claimsLeft: true,
		},
		{
			name: "handler panics", handler: panics,
			status: 500, want: `{"error":"Delivery was not handled"}`, outcome: receiver.Panicked, claimsLeft: true,
		},
		{
			name: "store down", store: func(s *receivertest.Store) { s.Down() },
			status: 503, want: `{"error":"Temporarily unavailable"}`, header: map[string]string{"Retry-After": "5"}, outcome: receiver.Unavailable, claimsLeft: true,
		},
		{
			name: "store full", store: func(s *receivertest.Store) { s.Next(receivertest.Claim, receivertest.Fails(dedupe.ErrFull)) },
			status: 503, want: `{"error":"Temporarily unavailable"}`, header: map[string]string{"Retry-After": "5"}, outcome: receiver.Unavailable, claimsLeft: true,
		},
		{
			name: "store down after the handler", store: func(s *receivertest.Store) { s.Next(receivertest.Complete, receivertest.Lost()) },
			status: 503, want: `{"error":"Temporarily unavailable"}`, header: map[string]string{"Retry-After": "5"}, outcome: receiver.Unavailable, claimsLeft: true,
		},
		{
			name: "taken over while handling", store: func(s *receivertest.Store) { s.Next(receivertest.Complete, receivertest.Fails(dedupe.ErrLeaseLost)) },
			status: 409, want: `{"error":"Delivery is being handled"}`, header: map[string]string{"Retry-After": "5"}, outcome: receiver.InFlight, claimsLeft: true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := receivertest.NewStore(t)
			if c.store != nil {
				c.store(store)
			}
			if c.handler == nil {
				c.handler = ok
			}
			if c.body == "" {
				c.body = eventBody
			}
			var results []receiver.Result
			scheme := newScheme(t)
			rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithMaxBody(1024),
				receiver.WithObserver(func(_ context.Context, r receiver.Result) { results = append(results, r) }))
			r := signedRequest(t, scheme, "", c.body)
			if c.change != nil {
				c.change(r)
			}
			w := serve(rcv.Events(c.handler), r)
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.want, w.Body.String())
			require.Equal(t, "application/json", w.Header().Get("Content-Type"))
			for name, value := range c.header {
				require.Equal(t, value, w.Header().Get(name), name)
			}
			require.Len(t, results, 1)
			require.Equal(t, c.outcome, results[0].Outcome)
			require.Equal(t, c.status, results[0].Status)
			require.Equal(t, c.outcome != receiver.Handled, results[0].Err != nil)
			require.Equal(t, c.claimsLeft, store.Calls(receivertest.Claim) > 0, "the store is asked only after the payload is valid")
		})
	}
}

func TestDuplicateAnswer(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	calls := 0
	h := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test")).Events(func(context.Context, *payload.Event) error {
		calls++
		return nil
	})
	require.Equal(t, `{"received":true}`, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Body.String())
	w := serve(h, signedRequest(t, scheme, "whk_1", eventBody))
	require.Equal(t, 200, w.Code)
	require.Equal(t, `{"received":true,"duplicate":true}`, w.Body.String())
	require.Equal(t, 1, calls)
	require.Equal(t, `{"received":true}`, serve(h, signedRequest(t, scheme, "whk_2", eventBody)).Body.String())
	require.Equal(t, 2, calls)
}

// Every invalid signature gets the same bytes. A different answer would tell an
// attacker which part was wrong.
func TestAll401sAreByteIdentical(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		known := scheme
		lookup := receiver.PerRequest(func(r *http.Request) (string, signer.Verifier, error) {
			if r.Header.Get("X-Tenant") == "" {
				return "", nil, receiver.ErrUnknownTenant
			}
			return "acme", known, nil
		})
		single := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "test")).Events(ok)
		tenants := newReceiver(t, lookup, receiver.WithDedupe(newMemory(t), "test")).Events(ok)
		set := func(name string, values ...string) func(*http.Request) {
			return func(r *http.Request) { r.Header[name] = values }
		}
		var first *httptest.ResponseRecorder
		for name, change := range map[string]func(*http.Request){
			"no headers": func(r *http.Request) { r.Header = http.Header{"Content-Type": {"application/json"}} },
			"twice":      set("Webhook-Id", "a", "a"),
			"malformed":  set("Webhook-Timestamp", "+1"),
			"too old": func(r *http.Request) {
				require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now().Add(-time.Hour), []byte(eventBody)))
			},
			"too new": func(r *http.Request) {
				require.NoError(t, scheme.Sign(r.Context(), r, "whk_1", time.Now().Add(time.Hour), []byte(eventBody)))
			},
			"no match":       set("Webhook-Id", "another"),
			"flood":          set("Webhook-Signature", strings.Repeat("v1,x ", 5000)),
			"unknown tenant": nil,
		} {
			r := signedRequest(t, scheme, "whk_1", eventBody)
			h := single
			if change == nil {
				h = tenants
			} else {
				change(r)
			}
			w := serve(h, r)
			require.Equal(t, 401, w.Code, name)
			if first == nil {
				first = w
			}
			require.Equal(t, first.Header(), w.Header(), name)
			require.Equal(t, `{"error":"Invalid signature"}`, w.Body.String(), name)
		}
	})
}

func TestAPIKey401sAreByteIdentical(t *testing.T) {
	t.Parallel()
	key, err := signer.GenerateAPIKey("test")
	require.NoError(t, err)
	hash, err := signer.HashAPIKey(key.Reveal())
	require.NoError(t, err)
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	require.NoError(t, err)
	h := newReceiver(t, keys, receiver.WithDedupe(newMemory(t), "test")).Events(ok)
	bearer, err := signer.NewBearer(key)
	require.NoError(t, err)
	require.Equal(t, 200, serve(h, signedRequest(t, bearer, "", eventBody)).Code)
	for _, values := range [][]string{nil, {""}, {"Bearer x"}, {"Basic " + key.Reveal()}, {"Bearer " + key.Reveal(), "Bearer " + key.Reveal()}} {
		r := signedRequest(t, bearer, "", eventBody)
		r.Header["Authorization"] = values
		w := serve(h, r)
		require.Equal(t, 401, w.Code)
		require.Equal(t, `{"error":"Invalid or missing API key"}`, w.Body.String())
		require.Equal(t, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"38"}}, w.Header())
	}
}

func TestInvalidPayloadAnswersListEverythingAndAreJSON(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(ok)
	for _, body := range []string{
		``, `null`, `[]`, `{`, eventBody + `{}`, strings.Replace(eventBody, `"app"`, `"event"`, 1),
		strings.Replace(eventBody, "dana", "d\xffna", 1), `{"event":"DEPLOY\u0000<script>"}`,
	} {
		w := serve(h, signedRequest(t, scheme, "", body))
		require.Equal(t, 400, w.Code, body)
		require.Regexp(t, `^\{"error":"Invalid payload: [^"\\]*(\\.[^"\\]*)*"\}$`, w.Body.String())
		require.NotContains(t, w.Body.String(), "<script>")
	}
}
