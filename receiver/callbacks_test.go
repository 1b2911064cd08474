package receiver_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
	"github.com/deployhook/deployhook/signer"
)

// The sender gets its answer over a real connection, even if callbacks of the
// application misbehave.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithObserver": func(t *testing.T, f *callbacktest.Fault) {
			p := newClient(t, f, nil, receiver.WithObserver(func(context.Context, receiver.Result) { f.Happen() }))
			p.getsAnswers("WithObserver")
		},
		"WithTelemetry": func(t *testing.T, f *callbacktest.Fault) {
			newClient(t, f, nil, withSpy(&spy{end: f.Happen})).getsAnswers("WithTelemetry")
		},
		"telemetry's start": func(t *testing.T, f *callbacktest.Fault) {
			p := newClient(t, f, nil, withSpy(&spy{start: f.Happen}))
			p.waits(map[callbacktest.Kind]int{callbacktest.Panics: 200, callbacktest.Exits: 500, callbacktest.Hangs: 200})
			p.counts("WithTelemetry", 1)
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			p := newClient(t, f, nil, receiver.WithLogger(slog.New(badHandler{f.Happen})))
			p.getsAnswers("WithLogger")
		},
		"WithDedupe": func(t *testing.T, f *callbacktest.Fault) {
			store := receivertest.NewStore(t).Every(receivertest.Complete, func(ctx context.Context, call func(context.Context) error) error { f.Happen(); return call(ctx) })
			p := newClient(t, f, nil, receiver.WithDedupe(store, "bad"))
			p.waits(map[callbacktest.Kind]int{callbacktest.Panics: 503, callbacktest.Exits: 500, callbacktest.Hangs: 200})
			p.counts("WithDedupe", 1)
		},
		"verifier": func(t *testing.T, f *callbacktest.Fault) {
			scheme := newScheme(t)
			v := receiver.PerRequest(func(*http.Request) (string, signer.Verifier, error) { f.Happen(); return "acme", scheme, nil })
			p := newClient(t, f, scheme)
			p.serve(newReceiver(t, v, receiver.InsecureNoDedupe()), ok)
			p.waits(map[callbacktest.Kind]int{callbacktest.Panics: 503, callbacktest.Exits: 500, callbacktest.Hangs: 200})
			p.counts("verifier", 1)
		},
		"decoder": func(t *testing.T, f *callbacktest.Fault) {
			p := newClient(t, f, nil)
			p.mount(p.rcv.Records(func(context.Context, []byte) (*payload.Deployment, error) { f.Happen(); return nil, payload.ErrIgnored },
				func(context.Context, *payload.Deployment) error { return nil }))
			p.waits(map[callbacktest.Kind]int{callbacktest.Panics: 500, callbacktest.Exits: 500, callbacktest.Hangs: 200})
			p.counts("decoder", 1)
		},
		"handler": func(t *testing.T, f *callbacktest.Fault) {
			p := newClient(t, f, nil)
			p.serve(p.rcv, func(context.Context, *payload.Event) error { f.Happen(); return nil })
			p.waits(map[callbacktest.Kind]int{callbacktest.Panics: 500, callbacktest.Exits: 500, callbacktest.Hangs: 200})
			p.counts("handler", 1)
		},
		"serving": func(t *testing.T, f *callbacktest.Fault) { // middleware may replace the body
			p := newClient(t, f, nil)
			next := p.rcv.Events(ok)
			p.mount(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = badBody{r.Body, f.Happen}
				next.ServeHTTP(w, r)
			}))
			p.waits(map[callbacktest.Kind]int{callbacktest.Panics: 500, callbacktest.Exits: 500, callbacktest.Hangs: 200})
			if f.Kind == callbacktest.Panics {
				p.counts("serving", 1)
			}
		},
	})
}

// client sends to a receiver over its own connections.
type client struct {
	t      *testing.T
	f      *callbacktest.Fault
	scheme *signer.Standard
	rcv    *receiver.Receiver
	server *httptest.Server
}

func newClient(t *testing.T, f *callbacktest.Fault, scheme *signer.Standard, opts ...receiver.Option) *client {
	t.Helper()
	p := &client{t: t, f: f, scheme: scheme}
	if scheme == nil {
		p.scheme = newScheme(t)
	}
	p.serve(newReceiver(t, p.scheme, append([]receiver.Option{receiver.WithDedupe(newMemory(t), "test")}, opts...)...), ok)
	return p
}

func (p *client) serve(rcv *receiver.Receiver, h receiver.EventHandler) {
	p.rcv = rcv
	p.mount(rcv.Events(h))
}

func (p *client) mount(h http.Handler) {
	p.server = httptest.NewUnstartedServer(h)
	p.server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.server.Start()
	p.t.Cleanup(p.server.Close)
	p.t.Cleanup(p.f.Release) // first, so that no callback blocks the server's shutdown
}

type reply struct {
	status int
	body   string
}

func (p *client) post(id string) reply {
	r, err := http.NewRequest(http.MethodPost, p.server.URL, bytes.NewReader([]byte(eventBody)))
	if err != nil {
		return reply{body: err.Error()}
	}
	r.Close = true
	r.Header.Set("Content-Type", "application/json")
	if err := p.scheme.Sign(r.Context(), r, id, time.Now(), []byte(eventBody)); err != nil {
		return reply{body: err.Error()}
	}
	resp, err := p.server.Client().Do(r)
	if err != nil {
		return reply{body: err.Error()}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return reply{body: err.Error()}
	}
	return reply{resp.StatusCode, string(body)}
}

// getsAnswers sends a delivery and its duplicate without waiting for the
// callback.
func (p *client) getsAnswers(name string) {
	p.t.Helper()
	require.Equal(p.t, reply{200, `{"received":true}`}, p.post("whk_1"))
	require.Equal(p.t, reply{200, `{"received":true,"duplicate":true}`}, p.post("whk_1"))
	<-p.f.Entered()
	p.counts(name, 2)
}

// waits sends a delivery and checks that its answer came after the callback
// ended.
func (p *client) waits(want map[callbacktest.Kind]int) {
	p.t.Helper()
	got := callbacktest.Outlives(p.t, p.f, func() reply { return p.post("whk_1") })
	require.Equal(p.t, want[p.f.Kind], got.status, got.body)
}

func (p *client) counts(name string, n uint64) {
	p.t.Helper()
	if p.f.Kind == callbacktest.Hangs {
		n = 0
	}
	require.Eventually(p.t, func() bool { return p.rcv.Faults()[name] >= n }, time.Minute, time.Millisecond, "%v", p.rcv.Faults())
}

// badHandler is an application's log handler that misbehaves.
type badHandler struct{ fault func() }

func (badHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }

// badBody is a request's body with a fault.
type badBody struct {
	io.ReadCloser
	fault func()
}

func (b badBody) Read(p []byte) (int, error) { b.fault(); return b.ReadCloser.Read(p) }

// The value with which a verifier panics may be a key.
func TestVerifierThatPanics_ValueIsNotShown(t *testing.T) {
	t.Parallel()
	const canary = "s3cret-canary"
	v := receiver.PerRequest(func(*http.Request) (string, signer.Verifier, error) { panic(canary) })
	var log bytes.Buffer
	var shown error
	h := newReceiver(t, v, receiver.InsecureNoDedupe(), receiver.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
		receiver.WithObserver(func(_ context.Context, r receiver.Result) { shown = r.Err })).Events(ok)
	require.Equal(t, 503, serve(h, signedRequest(t, newScheme(t), "", eventBody)).Code)
	require.ErrorContains(t, shown, "panicked: a string")
	require.NotContains(t, shown.Error(), canary)
	require.NotContains(t, log.String(), canary)
}

// A lookup that returns nothing is a mistake in the application, and no panic.
func TestPerRequest_LookupWithoutVerifier(t *testing.T) {
	t.Parallel()
	var none *signer.Standard
	for _, v := range []signer.Verifier{nil, none} {
		_, err := receiver.PerRequest(func(*http.Request) (string, signer.Verifier, error) { return "acme", v, nil }).
			Verify(signedRequest(t, newScheme(t), "", eventBody), []byte(eventBody))
		require.ErrorIs(t, err, receiver.ErrConfig)
		require.ErrorContains(t, err, "neither a verifier nor an error")
	}
}

// wrapped is a ResponseWriter of middleware, which can flush only through
// Unwrap.
type wrapped struct{ inner *httptest.ResponseRecorder }

func (w wrapped) Header() http.Header         { return w.inner.Header() }
func (w wrapped) Write(p []byte) (int, error) { return w.inner.Write(p) }
func (w wrapped) WriteHeader(status int)      { w.inner.WriteHeader(status) }
func (w wrapped) Unwrap() http.ResponseWriter { return w.inner }

func TestAnswer_SentBeforeTheObserverThroughMiddleware(t *testing.T) {
	t.Parallel()
	scheme, w := newScheme(t), httptest.NewRecorder()
	sent := false
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe(), receiver.WithObserver(func(context.Context, receiver.Result) { sent = w.Flushed })).Events(ok)
	h.ServeHTTP(wrapped{w}, signedRequest(t, scheme, "", eventBody))
	require.True(t, sent)
}

// A renewal runs on another goroutine. A fault in it must not end the process
// or later renewals.
func TestRenewal_GoesOnAfterFaults(t *testing.T) {
	t.Parallel()
	for _, kind := range []callbacktest.Kind{callbacktest.Panics, callbacktest.Exits} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &callbacktest.Fault{Kind: kind}
				f.Reset(t)
				store := receivertest.NewStore(t)
				fault := func(context.Context, func(context.Context) error) error { f.Happen(); return nil }
				store.Next(receivertest.Renew, fault, fault)
				scheme := newScheme(t)
				rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(30*time.Second))
				w := serve(rcv.Events(func(ctx context.Context, _ *payload.Event) error {
					select {
					case <-time.After(5 * time.Minute):
						return nil
					case <-ctx.Done():
						return context.Cause(ctx)
					}
				}), signedRequest(t, scheme, "", eventBody))
				require.Equal(t, 200, w.Code)
				require.Equal(t, map[string]uint64{"WithDedupe": 2}, rcv.Faults())
			})
		})
	}
}

func TestCallbacks_NilIsAConfigurationError(t *testing.T) {
	t.Parallel()
	var store *dedupe.Memory
	for name, opt := range map[string]receiver.Option{"WithObserver": receiver.WithObserver(nil), "WithDedupe": receiver.WithDedupe(store, "test")} {
		_, err := receiver.New(newScheme(t), receiver.InsecureNoDedupe(), opt)
		require.ErrorIs(t, err, receiver.ErrConfig)
		require.ErrorContains(t, err, name)
	}
}
