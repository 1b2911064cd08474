package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
)

// spy is a Telemetry that notes its calls.
type spy struct {
	start func()
	end   func()

	mu      sync.Mutex
	results []receiver.Result
	marks   []any // the values of spyKey in the contexts of End
}

type spyKey struct{}

func (s *spy) Start(r *http.Request, _ *receiver.Delivery, _ time.Time) context.Context {
	if s.start != nil {
		s.start()
	}
	return context.WithValue(r.Context(), spyKey{}, r.Header.Get("Traceparent"))
}

func (s *spy) End(ctx context.Context, res receiver.Result) {
	if s.end != nil {
		s.end()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.results, s.marks = append(s.results, res), append(s.marks, ctx.Value(spyKey{}))
}

func withSpy(s *spy) receiver.Option {
	return receiver.WithTelemetry(func(string) (receiver.Telemetry, error) { return s, nil })
}

// Start sees only verified requests, and its context reaches the handler, the
// observer and End.
func TestTelemetry_FollowsTheRequest(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	var source string
	s := &spy{}
	var seen []any
	rcv := newReceiver(t, scheme, receiver.WithDedupe(newMemory(t), "platform"),
		receiver.WithTelemetry(func(of string) (receiver.Telemetry, error) { source = of; return s, nil }),
		receiver.WithObserver(func(ctx context.Context, _ receiver.Result) { seen = append(seen, ctx.Value(spyKey{})) }))
	h := rcv.Events(func(ctx context.Context, _ *payload.Event) error {
		seen = append(seen, ctx.Value(spyKey{}))
		return nil
	})
	r := signedRequest(t, scheme, "", eventBody)
	r.Header.Set("Traceparent", "mark")
	require.Equal(t, 200, serve(h, r).Code)
	forged := signedRequest(t, scheme, "", eventBody)
	forged.Header.Set("Traceparent", "mark")
	forged.Header.Set("Webhook-Signature", "v1,AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
	require.Equal(t, 401, serve(h, forged).Code)
	get := signedRequest(t, scheme, "", eventBody)
	get.Method = http.MethodGet
	require.Equal(t, 405, serve(h, get).Code)

	require.Equal(t, "platform", source)
	require.Equal(t, []any{"mark", "mark", nil, nil}, seen, "the handler, then the observer of each request")
	require.Equal(t, []any{"mark", nil, nil}, s.marks)
	require.Len(t, s.results, 3)
	require.Equal(t, len(eventBody), s.results[0].BodySize)
	require.Positive(t, s.results[0].ClaimDuration)
	require.Positive(t, s.results[0].HandlerDuration)
	require.Equal(t, receiver.Unauthenticated, s.results[1].Outcome)
	require.Equal(t, len(eventBody), s.results[1].BodySize)
	require.Zero(t, s.results[1].ClaimDuration)
	require.Zero(t, s.results[2].BodySize, "the body was not read")
}

func TestTelemetry_OpenFails(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(string) (receiver.Telemetry, error){
		"is nil":       nil,
		"no collector": func(string) (receiver.Telemetry, error) { return nil, errors.New("no collector") },
		"neither":      func(string) (receiver.Telemetry, error) { return nil, nil },
		"panicked":     func(string) (receiver.Telemetry, error) { panic("no") },
	} {
		_, err := receiver.New(newScheme(t), receiver.InsecureNoDedupe(), receiver.WithTelemetry(open))
		require.ErrorIs(t, err, receiver.ErrConfig)
		require.ErrorContains(t, err, "WithTelemetry: ")
		require.ErrorContains(t, err, name)
	}
}

type nothing struct{}

func (nothing) Start(r *http.Request, _ *receiver.Delivery, _ time.Time) context.Context {
	return r.Context()
}
func (nothing) End(context.Context, receiver.Result) {}

// Without WithTelemetry a request allocates no more than before there was the
// option. The second benchmark shows what the calls cost alone.
func BenchmarkTelemetry(b *testing.B) {
	for name, opts := range map[string][]receiver.Option{
		"off":     nil,
		"nothing": {receiver.WithTelemetry(func(string) (receiver.Telemetry, error) { return nothing{}, nil })},
	} {
		b.Run(name, func(b *testing.B) { benchInMemory(b, opts...) })
	}
}

func benchInMemory(b *testing.B, opts ...receiver.Option) {
	scheme := newScheme(b)
	body := benchBody()
	h := newReceiver(b, scheme, append(opts, receiver.WithDedupe(newMemory(b), "bench"))...).Events(ok)
	r := signedRequest(b, scheme, payload.NewDeliveryID(), string(body))
	w := &nullWriter{header: http.Header{}}
	serveBytes(h, w, r, body) // the first is handled, the others are duplicates
	b.ReportAllocs()
	for b.Loop() {
		serveBytes(h, w, r, body)
	}
	require.Equal(b, 200, w.status)
}

func serveBytes(h http.Handler, w http.ResponseWriter, r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	h.ServeHTTP(w, r)
}
