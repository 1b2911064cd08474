package sender_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptrace"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender"
)

type callerKey struct{}

// A signer gets the caller's values and the attempt's deadline. It does not get
// the hooks with which the sender watches its own connection.
func TestSigner_GetsTheContextOfTheAttempt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t, sender.WithTimeout(7*time.Second))
		fake(s, statuses(200))
		inner := standard(t)
		looked := 0
		ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
			looked++
			deadline, ok := ctx.Deadline()
			require.True(t, ok)
			require.Equal(t, 7*time.Second, time.Until(deadline))
			require.Equal(t, "caller", ctx.Value(callerKey{}))
			require.Nil(t, httptrace.ContextClientTrace(ctx))
			return inner.Sign(ctx, r, id, at, body)
		})}
		ctx := context.WithValue(t.Context(), callerKey{}, "caller")
		require.NoError(t, s.Attempt(ctx, ep, message()).Err)
		_, err := s.Preview(ctx, ep, message())
		require.NoError(t, err)
		require.Equal(t, 2, looked)
	})
}

func TestSigner_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		heeds  bool
		faults map[string]uint64
	}{
		"ignores it": {faults: map[string]uint64{"Endpoint.Signer": 1}},
		"heeds it":   {heeds: true, faults: map[string]uint64{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSender(t, sender.WithTimeout(time.Second))
				fake(s, statuses(200))
				released := make(chan struct{})
				defer close(released)
				ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(func(ctx context.Context, _ *http.Request, _ string, _ time.Time, _ []byte) error {
					if test.heeds {
						<-ctx.Done()
						return ctx.Err()
					}
					<-released
					return errors.New("released")
				})}
				begin := time.Now()
				a := s.Attempt(t.Context(), ep, message())
				require.Equal(t, sender.Failed, a.Outcome, "%v", a.Err)
				require.Equal(t, sender.ClassSigner, a.Class)
				require.LessOrEqual(t, time.Since(begin), 2*time.Second)
				require.Equal(t, test.faults, s.Faults())
			})
		})
	}
}

func TestSigner_HangsWhenTheCallerEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t)
		fake(s, statuses(200))
		released := make(chan struct{})
		defer close(released)
		ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(func(context.Context, *http.Request, string, time.Time, []byte) error {
			<-released
			return nil
		})}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a := s.Attempt(ctx, ep, message())
		require.Equal(t, sender.Canceled, a.Outcome)
		require.ErrorIs(t, a.Err, context.DeadlineExceeded)
	})
}

// A signer cannot change the sent bytes, even by writing to the body.
func TestSigner_GetsACopyOfTheBody(t *testing.T) {
	t.Parallel()
	s := newSender(t)
	fake(s, statuses(200))
	inner, msg := standard(t), message()
	ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: signFunc(func(ctx context.Context, r *http.Request, id string, at time.Time, body []byte) error {
		defer clear(body)
		return inner.Sign(ctx, r, id, at, body)
	})}
	require.NoError(t, s.Attempt(t.Context(), ep, msg).Err)
	require.Equal(t, message().Body, msg.Body)
}

type contextFormat func(ctx context.Context) error

func (f contextFormat) Encode(ctx context.Context, _ *payload.Event) (string, []byte, error) {
	return "", []byte("{}"), f(ctx)
}

func TestFormat_EndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSender(t)
		fake(s, statuses(200))
		released := make(chan struct{})
		defer close(released)
		ep := sender.Endpoint{URL: sender.NewURL("https://a.example"), Signer: standard(t), BodyFormat: contextFormat(func(context.Context) error {
			<-released
			return nil
		})}
		ctx, cancel := context.WithTimeout(context.WithValue(t.Context(), callerKey{}, "caller"), time.Second)
		defer cancel()
		r, err := s.Send(ctx, ep, event())
		require.ErrorContains(t, err, "did not return in time")
		require.Empty(t, r.Attempts)
		require.Equal(t, map[string]uint64{"Endpoint.BodyFormat": 1}, s.Faults())

		ep.BodyFormat = contextFormat(func(ctx context.Context) error {
			require.Equal(t, "caller", ctx.Value(callerKey{}))
			return ctx.Err()
		})
		_, err = ep.Message(ctx, event())
		require.ErrorIs(t, err, context.DeadlineExceeded)
	})
}
