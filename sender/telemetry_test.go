package sender_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// spy is a Telemetry that notes its calls.
type spy struct {
	fault  func() // in EndAttempt
	header http.Header

	mu       sync.Mutex
	starts   []sender.AttemptStart
	marks    []any
	attempts []sender.Attempt
	receipts []*sender.Receipt
}

type spyKey struct{}

func (s *spy) open() (sender.Telemetry, error) { return s, nil }

func (s *spy) StartAttempt(ctx context.Context, a sender.AttemptStart, h http.Header) context.Context {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.starts = append(s.starts, a)
	maps.Copy(h, s.header)
	return context.WithValue(ctx, spyKey{}, a.Number)
}

func (s *spy) EndAttempt(ctx context.Context, a sender.Attempt) {
	if s.fault != nil {
		s.fault()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.marks, s.attempts = append(s.marks, ctx.Value(spyKey{})), append(s.attempts, a)
}

func (s *spy) EndDelivery(_ context.Context, _ payload.Type, r *sender.Receipt) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receipts = append(s.receipts, r)
}

const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestTelemetry_FollowsEachAttempt(t *testing.T) {
	t.Parallel()
	s := &spy{header: http.Header{"traceparent": {traceparent}}}
	var seen []any
	own := newSender(t, sender.WithTelemetry(s.open), sender.WithSchedule(sender.Scaled(sender.Pipeline, 0.0001)),
		sender.WithObserver(func(ctx context.Context, _ sender.Attempt) { seen = append(seen, ctx.Value(spyKey{})) }))
	var got []string
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Get("Traceparent"))
		if len(got) == 1 {
			w.WriteHeader(500)
		}
	})
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}
	r, err := own.Send(t.Context(), ep, event())
	require.NoError(t, err)
	require.Equal(t, []string{traceparent, traceparent}, got)
	require.Equal(t, []any{1, 2}, s.marks)
	require.Equal(t, s.marks, seen, "the observer has the same context")
	require.Equal(t, r.Attempts, s.attempts)
	require.Equal(t, []*sender.Receipt{r}, s.receipts)
	require.Equal(t, sender.AttemptStart{Number: 2, ID: r.ID, Type: payload.DeployLive, Endpoint: server.URL, Size: s.starts[0].Size}, s.starts[1])
	require.Equal(t, payload.DeployLive, r.Attempts[1].Type)
	require.Equal(t, []string{traceparent}, r.Attempts[1].RequestHeader["Traceparent"], "it is no credential")
}

// A queue says how many attempts it has made, and what the trace is.
func TestTelemetry_OfAQueue(t *testing.T) {
	t.Parallel()
	s := &spy{}
	own := newSender(t, sender.WithTelemetry(s.open))
	msg := message()
	msg.Earlier, msg.Trace = 4, traceparent
	server := serve(t, func(http.ResponseWriter, *http.Request) {})
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}
	require.Equal(t, 5, own.Attempt(t.Context(), ep, msg).Number)
	require.Equal(t, sender.AttemptStart{
		Number: 5, ID: msg.ID, Type: payload.DeployLive, Trace: traceparent, Endpoint: server.URL, Size: len(msg.Body),
	}, s.starts[0])
	require.Empty(t, s.receipts)

	refused := own.Attempt(t.Context(), sender.Endpoint{URL: ep.URL}, msg)
	require.Equal(t, sender.Refused, refused.Outcome)
	require.Equal(t, sender.Refused, s.attempts[1].Outcome)

	msg.Earlier = -1
	require.ErrorContains(t, own.Attempt(t.Context(), ep, msg).Err, "Earlier")
}

// Telemetry replaces no header of the endpoint or of the sender, and can't make
// net/http send a request twice.
func TestTelemetry_AddsOnlyNewHeaders(t *testing.T) {
	t.Parallel()
	s := &spy{header: http.Header{
		"Traceparent": {"telemetry"}, "Tracestate": {"a=b"}, "User-Agent": {"telemetry"}, "Idempotency-Key": {"1"}, "Content-Type": {"text/plain"},
		"Webhook-Signature": {"v1,forged"}, "X-Line": {"a\r\nb"},
	}}
	own := newSender(t, sender.WithTelemetry(s.open))
	var got http.Header
	server := serve(t, func(_ http.ResponseWriter, r *http.Request) { got = r.Header })
	a := own.Attempt(t.Context(), sender.Endpoint{
		URL: sender.NewURL(server.URL), Signer: standard(t), Header: sender.NewHeader(http.Header{"Traceparent": {"customer"}}),
	}, message())
	require.Equal(t, sender.Delivered, a.Outcome, "%v", a.Err)
	require.Equal(t, []string{"customer"}, got["Traceparent"])
	require.Equal(t, []string{"[redacted]"}, a.RequestHeader["Traceparent"], "a header of the customer's may be a credential")
	require.Equal(t, []string{"a=b"}, got["Tracestate"])
	require.Equal(t, []string{"application/json"}, got["Content-Type"])
	require.NotEqual(t, "telemetry", got.Get("User-Agent"))
	require.NotContains(t, got["Webhook-Signature"], "v1,forged")
	require.NotContains(t, got, "Idempotency-Key")
	require.NotContains(t, got, "X-Line")
}

func TestTelemetry_OpenFails(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func() (sender.Telemetry, error){
		"is nil":       nil,
		"no collector": func() (sender.Telemetry, error) { return nil, errors.New("no collector") },
		"neither":      func() (sender.Telemetry, error) { return nil, nil },
		"panicked":     func() (sender.Telemetry, error) { panic("no") },
	} {
		_, err := sender.New(sender.WithTelemetry(open))
		require.ErrorIs(t, err, sender.ErrConfig)
		require.ErrorContains(t, err, "WithTelemetry: ")
		require.ErrorContains(t, err, name)
	}
}

type nothing struct{}

func (nothing) StartAttempt(ctx context.Context, _ sender.AttemptStart, _ http.Header) context.Context {
	return ctx
}
func (nothing) EndAttempt(context.Context, sender.Attempt)                 {}
func (nothing) EndDelivery(context.Context, payload.Type, *sender.Receipt) {}

// Without WithTelemetry a delivery allocates no more than before there was the
// option. The other benchmark shows what the calls alone cost.
func BenchmarkTelemetry(b *testing.B) {
	for name, opts := range map[string][]sender.Option{
		"off":     nil,
		"nothing": {sender.WithTelemetry(func() (sender.Telemetry, error) { return nothing{}, nil })},
	} {
		b.Run(name, func(b *testing.B) {
			s := newSender(b, opts...)
			sender.SetRoundTripper(s, instant{})
			ep := sender.Endpoint{URL: sender.NewURL("http://127.0.0.1:8080/webhooks/deploy"), Signer: standard(b)}
			msg := message()
			b.ReportAllocs()
			for b.Loop() {
				if _, err := s.Deliver(b.Context(), ep, msg); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
