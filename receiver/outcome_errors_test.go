package receiver_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

func TestHandlerError_SelectsAnswer(t *testing.T) {
	t.Parallel()
	down := errors.New("queue is full")
	for name, c := range map[string]struct {
		opts       []receiver.Option
		err        error
		status     int
		body       string
		retryAfter string
		outcome    receiver.Outcome
		again      int   // answer to a second copy of the delivery
		cause      error // error in the operator's log
	}{
		"accepted": {
			opts:   []receiver.Option{receiver.WithAccepted()},
			status: http.StatusAccepted, body: `{"received":true}`, outcome: receiver.Accepted, again: http.StatusOK,
		},
		"duplicate": {
			err:    errors.Join(errors.New("seen"), receiver.ErrDuplicate),
			status: http.StatusOK, body: `{"received":true,"duplicate":true}`, outcome: receiver.Duplicate, again: http.StatusOK,
		},
		"duplicate where success is 202": {
			opts: []receiver.Option{receiver.WithAccepted()}, err: receiver.ErrDuplicate,
			status: http.StatusOK, body: `{"received":true,"duplicate":true}`, outcome: receiver.Duplicate, again: http.StatusOK,
		},
		"unavailable": {
			err:    receiver.TryAgain(90*time.Second+time.Millisecond, down),
			status: http.StatusServiceUnavailable, body: `{"error":"Temporarily unavailable"}`, retryAfter: "91", outcome: receiver.Unavailable,
			again: http.StatusServiceUnavailable, cause: down,
		},
		"unavailable without more": {
			err:    receiver.TryAgain(0, nil),
			status: http.StatusServiceUnavailable, body: `{"error":"Temporarily unavailable"}`, retryAfter: "5", outcome: receiver.Unavailable,
			again: http.StatusServiceUnavailable,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme := newScheme(t)
			var got receiver.Result
			opts := append([]receiver.Option{
				receiver.WithDedupe(newMemory(t), "test"),
				receiver.WithObserver(func(_ context.Context, r receiver.Result) { got = r }),
			}, c.opts...)
			h := newReceiver(t, scheme, opts...).Events(func(context.Context, *payload.Event) error { return c.err })

			w := serve(h, signedRequest(t, scheme, "whk_1", eventBody))
			assert.Equal(t, c.status, w.Code)
			assert.Equal(t, c.body, w.Body.String())
			assert.Equal(t, c.retryAfter, w.Header().Get("Retry-After"))
			assert.Equal(t, c.outcome, got.Outcome)
			if c.cause != nil {
				assert.ErrorIs(t, got.Err, c.cause, "the result has the cause")
			}
			assert.Equal(t, c.again, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
		})
	}
}

func TestNewContext(t *testing.T) {
	t.Parallel()
	d := &receiver.Delivery{ID: "whk_1"}
	got, ok := receiver.FromContext(receiver.NewContext(t.Context(), d))
	assert.True(t, ok)
	assert.Same(t, d, got)
}

// completeWith returns a handler that completes its claim itself and then runs
// after.
func completeWith(t *testing.T, store *receivertest.Store, after func(context.Context) error) receiver.EventHandler {
	return func(ctx context.Context, _ *payload.Event) error {
		d, ok := receiver.FromContext(ctx)
		require.True(t, ok)
		if err := d.CompleteWith(func(c dedupe.Claim) error { return store.Complete(context.WithoutCancel(ctx), c) }); err != nil {
			return err
		}
		return after(ctx)
	}
}

func TestCompleteWith_ReceiverDoesNotCompleteAgain(t *testing.T) {
	t.Parallel()
	broken := errors.New("the message after the commit was not sent")
	for name, c := range map[string]struct {
		err   error
		panic bool
		want  int
	}{
		"success":                              {want: http.StatusOK},
		"an error after the commit":            {err: broken, want: http.StatusInternalServerError},
		"a panic after the commit":             {panic: true, want: http.StatusInternalServerError},
		"a context that ends after the commit": {err: context.Canceled, want: http.StatusInternalServerError},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, store, calls := newScheme(t), receivertest.NewStore(t), 0
			h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Events(completeWith(t, store, func(context.Context) error {
				calls++
				if c.panic {
					panic("after the commit")
				}
				return c.err
			}))
			assert.Equal(t, c.want, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
			assert.Equal(t, 1, store.Calls(receivertest.Complete), "only the handler completes")
			assert.Zero(t, store.Calls(receivertest.Release), "the receiver released what the handler had completed")

			w := serve(h, signedRequest(t, scheme, "whk_1", eventBody))
			assert.Equal(t, `{"received":true,"duplicate":true}`, w.Body.String(), "the delivery took effect, so no retry may run")
			assert.Equal(t, 1, calls)
		})
	}
}

func TestCompleteWith_FailureReleasesClaim(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func() error{
		"error": func() error { return io.ErrUnexpectedEOF },
		"panic": func() error { panic("in the transaction") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			scheme, store, calls := newScheme(t), receivertest.NewStore(t), 0
			h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Events(func(ctx context.Context, _ *payload.Event) error {
				d, _ := receiver.FromContext(ctx)
				calls++
				return d.CompleteWith(func(dedupe.Claim) error {
					if calls == 1 {
						return fail()
					}
					return store.Complete(ctx, d.Claim)
				})
			})
			assert.Equal(t, http.StatusInternalServerError, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
			assert.Equal(t, 1, store.Calls(receivertest.Release))
			assert.Equal(t, http.StatusOK, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
			assert.Equal(t, 2, calls, "the retry ran")
		})
	}
}

func TestCompleteWithNeedsAClaimAndRunsOnce(t *testing.T) {
	t.Parallel()
	never := func(dedupe.Claim) error { panic("called") }
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(func(ctx context.Context, _ *payload.Event) error {
		d, _ := receiver.FromContext(ctx)
		assert.ErrorIs(t, d.CompleteWith(never), dedupe.ErrInvalid)
		return nil
	})
	assert.Equal(t, http.StatusOK, serve(h, signedRequest(t, scheme, "", eventBody)).Code)

	store := receivertest.NewStore(t)
	h = newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Events(completeWith(t, store, func(ctx context.Context) error {
		d, _ := receiver.FromContext(ctx)
		assert.ErrorIs(t, d.CompleteWith(never), dedupe.ErrInvalid)
		return nil
	}))
	assert.Equal(t, http.StatusOK, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
}

// A renewal fails while the handler's transaction locks the claim, or just
// after the commit. That must not end the context of a handler that completed
// its claim.
func TestCompleteWith_IgnoresFailedRenewals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := receivertest.NewStore(t).Every(receivertest.Renew, receivertest.Fails(dedupe.ErrLeaseLost))
		rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(3*time.Second))
		h := rcv.Events(func(ctx context.Context, _ *payload.Event) error {
			d, _ := receiver.FromContext(ctx)
			err := d.CompleteWith(func(c dedupe.Claim) error {
				if err := store.Complete(ctx, c); err != nil {
					return err
				}
				// a slow commit, longer than the lease, and not exactly when a
				// renewal runs
				select {
				case <-time.After(10150 * time.Millisecond):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
			renewed := store.Calls(receivertest.Renew)
			time.Sleep(10 * time.Second) // further work after the commit
			assert.Equal(t, renewed, store.Calls(receivertest.Renew), "a completed claim needs no renewal")
			return errors.Join(err, ctx.Err())
		})
		w := httptest.NewRecorder()
		h.ServeHTTP(w, signedRequest(t, scheme, "", eventBody))
		assert.Equal(t, http.StatusOK, w.Code)
		assert.Positive(t, store.Calls(receivertest.Renew), "no renewal was tried, so the test proved nothing")
	})
}

func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	scheme := newScheme(t)
	h := newReceiver(t, scheme, receiver.InsecureNoDedupe()).Events(func(context.Context, *payload.Event) error {
		return receiver.TryAgain(math.MaxInt64, nil)
	})
	assert.Equal(t, "86400", serve(h, signedRequest(t, scheme, "", eventBody)).Header().Get("Retry-After"))
}

// A renewal that hangs in the store must not delay telling the handler that its
// lease ended.
func TestLease_HungRenewalEndsHandlerContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := &hungRenewals{Store: newMemory(t)}
		rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(3*time.Second), receiver.WithStoreTimeout(time.Minute))
		var told time.Duration
		h := rcv.Events(func(ctx context.Context, _ *payload.Event) error {
			began := time.Now()
			<-ctx.Done()
			told = time.Since(began)
			assert.ErrorIs(t, context.Cause(ctx), receiver.ErrLeaseLost)
			return ctx.Err()
		})
		serve(h, signedRequest(t, scheme, "", eventBody))
		assert.Equal(t, 3*time.Second, told)
	})
}

// hungRenewals never answers a renewal.
type hungRenewals struct{ dedupe.Store }

func (s *hungRenewals) Renew(ctx context.Context, _ dedupe.Claim, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}
