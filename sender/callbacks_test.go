package sender_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cenkalti/backoff/v4"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

// The results of Send are recorded, no matter what the application's callbacks
// do.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithObserver": func(t *testing.T, f *callbacktest.Fault) {
			s := newSender(t, sender.WithObserver(func(context.Context, sender.Attempt) { f.Happen() }))
			requireDelivered(t, s, f)
			requireFault(t, s, f, "WithObserver")
		},
		"WithTelemetry": func(t *testing.T, f *callbacktest.Fault) {
			s := newSender(t, sender.WithTelemetry((&spy{fault: f.Happen}).open))
			requireDelivered(t, s, f)
			requireFault(t, s, f, "WithTelemetry")
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			s := newSender(t, sender.WithObserver(func(context.Context, sender.Attempt) { panic("logged") }),
				sender.WithLogger(slog.New(badHandler{f.Happen})))
			requireDelivered(t, s, f)
			requireFault(t, s, f, "WithLogger")
			require.EqualValues(t, 1, s.Faults()["WithObserver"])
		},
		"WithSchedule": testSchedule,
		"WithResolver": func(t *testing.T, f *callbacktest.Fault) {
			timeout := patience
			if f.Kind == callbacktest.Hangs { // then it is what ends the attempt
				timeout = 100 * time.Millisecond
			}
			s := newSender(t, sender.WithTimeout(timeout), sender.WithResolver(&net.Resolver{
				PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) { f.Happen(); return nil, nil },
			}))
			a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("https://name.example"), Signer: standard(t)}, message())
			require.Equal(t, sender.Failed, a.Outcome, "%v", a.Err)
			if f.Kind != callbacktest.Hangs {
				require.Equal(t, sender.ClassDNS, a.Class)
				require.NotZero(t, s.Faults()["WithResolver"])
			}
		},
		"WithDialer": func(t *testing.T, f *callbacktest.Fault) {
			timeout := patience
			if f.Kind == callbacktest.Hangs { // then it is what ends the attempt
				timeout = 100 * time.Millisecond
			}
			s := newSender(t, sender.WithTimeout(timeout), sender.WithDialer(func(context.Context, string, string) (net.Conn, error) {
				f.Happen()
				return nil, errors.New("released")
			}))
			a := s.Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("http://127.0.0.1:9"), Signer: standard(t)}, message())
			require.Equal(t, sender.Failed, a.Outcome, "%v", a.Err)
			requireFault(t, s, f, "WithDialer")
		},
		"Endpoint.Signer": func(t *testing.T, f *callbacktest.Fault) {
			s := newSender(t)
			ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error {
				f.Happen()
				return errors.New("released")
			})}
			a := callbacktest.Outlives(t, f, func() sender.Attempt { return s.Attempt(t.Context(), ep, message()) })
			require.Equal(t, sender.ClassSigner, a.Class)
			require.NotContains(t, a.Err.Error(), "injected", "the value may be a key")
			requireFault(t, s, f, "Endpoint.Signer")
		},
		"Endpoint.BodyFormat": func(t *testing.T, f *callbacktest.Fault) {
			s := newSender(t)
			ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t), BodyFormat: badFormat(f.Happen)}
			err := callbacktest.Outlives(t, f, func() error { _, err := s.Send(t.Context(), ep, event()); return err })
			require.Error(t, err)
			requireFault(t, s, f, "Endpoint.BodyFormat")
		},
	})
}

func requireDelivered(t *testing.T, s *sender.Sender, f *callbacktest.Fault) {
	t.Helper()
	hits := 0
	server := serve(t, func(http.ResponseWriter, *http.Request) { hits++ })
	ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}
	r := callbacktest.Outlives(t, f, func() *sender.Receipt {
		r, err := s.Send(t.Context(), ep, event())
		if err != nil {
			t.Error(err)
		}
		return r
	})
	require.Equal(t, sender.Delivered, r.Outcome)
	require.Len(t, r.Attempts, 1)
	require.Equal(t, 1, hits)
}

// requireFault asserts that a fault is counted. A call that only hangs is not a
// fault.
func requireFault(t *testing.T, s *sender.Sender, f *callbacktest.Fault, name string) {
	t.Helper()
	want := map[bool]uint64{true: 0, false: 1}[f.Kind == callbacktest.Hangs]
	require.Equal(t, want, s.Faults()[name], "%v", s.Faults())
}

// The schedule works when the Sender is made. The fault happens before the
// third attempt.
func testSchedule(t *testing.T, f *callbacktest.Fault) {
	synctest.Test(t, func(t *testing.T) {
		f.Reset(t)
		var log bytes.Buffer
		s := newSender(t, sender.WithLogger(slog.New(slog.NewTextHandler(&log, nil))),
			sender.WithSchedule(func() backoff.BackOff { return &failsLate{fault: f.Happen} }))
		fake(s, statuses(500))
		r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
		require.ErrorIs(t, err, sender.ErrExhausted)
		require.Len(t, r.Attempts, 7, "as many as Pipeline has")
		require.Equal(t, time.Minute, r.Attempts[0].Wait)
		require.GreaterOrEqual(t, r.Attempts[1].Wait, 2*time.Second, "Pipeline's second wait")
		require.LessOrEqual(t, r.Attempts[1].Wait, 3*time.Second)
		require.Equal(t, map[string]uint64{"WithSchedule": 1}, s.Faults())
		require.Contains(t, log.String(), `msg="sender: contained a fault" in=WithSchedule`)
	})
}

// failsLate is a BackOff that answers once.
type failsLate struct {
	asked bool
	fault func()
}

func (b *failsLate) Reset() {}

func (b *failsLate) NextBackOff() time.Duration {
	if b.asked {
		b.fault()
	}
	b.asked = true
	return time.Minute
}

// The fault happens when a delivery uses the schedule for the first time.
func TestSchedule_FaultAtItsStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		for name, schedule := range map[string]func(){"panics": func() { panic("boom") }, "is nil": func() {}} {
			made := false
			s := newSender(t, sender.WithSchedule(func() backoff.BackOff {
				if !made {
					made = true
					return backoff.NewConstantBackOff(time.Second)
				}
				schedule()
				return nil
			}))
			fake(s, statuses(500))
			r, err := s.Deliver(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t)}, message())
			require.ErrorIs(t, err, sender.ErrExhausted, name)
			require.Len(t, r.Attempts, 7, name)
		}
	})
}

// The signer's fault happens in the second attempt. The record of the first
// attempt is kept.
func TestSigner_FaultKeepsEarlierAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t)
		fake(s, statuses(500))
		calls, inner := 0, standard(t)
		ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
			if calls++; calls == 2 {
				panic("boom")
			}
			return inner.Sign(ctx, r, id, at, body)
		})}
		r, _ := s.Deliver(t.Context(), ep, message())
		require.GreaterOrEqual(t, len(r.Attempts), 2)
		require.Equal(t, 500, r.Attempts[0].Status)
		require.Equal(t, sender.ClassSigner, r.Attempts[1].Class)
	})
}

func TestCallbacks_NilIsAConfigurationError(t *testing.T) {
	t.Parallel()
	var noBackOff *failsLate
	for name, opt := range map[string]sender.Option{
		"WithObserver": sender.WithObserver(nil), "WithLogger": sender.WithLogger(nil), "WithResolver": sender.WithResolver(nil),
		"WithSchedule: the schedule is nil":       sender.WithSchedule(nil),
		"WithSchedule: the schedule returns nil":  sender.WithSchedule(func() backoff.BackOff { return noBackOff }),
		"WithSchedule: the schedule panicked: oh": sender.WithSchedule(func() backoff.BackOff { panic("oh") }),
	} {
		_, err := sender.New(opt)
		require.ErrorIs(t, err, sender.ErrConfig, name)
		require.ErrorContains(t, err, name)
	}
	a := newSender(t).Attempt(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(nil)}, message())
	require.ErrorIs(t, a.Err, sender.ErrUnsigned)
	_, err := newSender(t).Send(t.Context(), sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t), BodyFormat: badFormat(nil)}, event())
	require.ErrorIs(t, err, sender.ErrRefused)
}

// badHandler is an application's log handler with a fault.
type badHandler struct{ fault func() }

func (badHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }

type badFormat func()

func (f badFormat) Encode(context.Context, *payload.Event) (string, []byte, error) {
	f()
	return "", nil, errors.New("released")
}
