package receiver_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

// A handler that runs for many leases keeps its claim and takes effect once.
func TestLease_RenewedWhileHandlerRuns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := receivertest.NewStore(t)
		var calls atomic.Int32
		h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(30*time.Second)).Events(
			func(ctx context.Context, _ *payload.Event) error {
				calls.Add(1)
				select {
				case <-time.After(10 * time.Minute):
					return nil
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			})
		r := signedRequest(t, scheme, "whk_1", eventBody)
		done := make(chan int)
		go func() { done <- serve(h, r).Code }()
		for range 19 {
			time.Sleep(31 * time.Second)
			require.Equal(t, 409, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
		}
		require.Equal(t, 200, <-done)
		require.EqualValues(t, 1, calls.Load())
		require.GreaterOrEqual(t, store.Calls(receivertest.Renew), 59)
		renews := store.Calls(receivertest.Renew)
		time.Sleep(time.Hour)
		require.Equal(t, renews, store.Calls(receivertest.Renew), "renewals end with the handler")
	})
}

// A handler whose lease another instance took over is told so. It can neither
// undo nor repeat its successor's work.
func TestLease_LostLeaseFencesHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		memory := newMemory(t)
		// This instance cannot reach the store to renew. The other instance
		// can.
		cut := receivertest.WrapStore(t, memory).Every(receivertest.Renew, receivertest.Fails(errors.New("no route to host")))
		causes := make(chan error, 1)
		slow := newReceiver(t, scheme, receiver.WithDedupe(cut, "test"), receiver.WithLease(30*time.Second)).Events(
			func(ctx context.Context, _ *payload.Event) error {
				<-ctx.Done()
				causes <- context.Cause(ctx)
				time.Sleep(time.Minute) // and does not stop at once
				return nil
			})
		var calls atomic.Int32
		other := newReceiver(t, scheme, receiver.WithDedupe(memory, "test"), receiver.WithLease(30*time.Second)).Events(
			func(context.Context, *payload.Event) error {
				calls.Add(1)
				time.Sleep(2 * time.Minute)
				return nil
			})
		first, second := make(chan *httptest.ResponseRecorder), make(chan *httptest.ResponseRecorder)
		r := signedRequest(t, scheme, "whk_1", eventBody)
		go func() { first <- serve(slow, r) }()
		require.ErrorIs(t, <-causes, receiver.ErrLeaseLost)
		time.Sleep(time.Millisecond) // past the end of the lease
		r = signedRequest(t, scheme, "whk_1", eventBody)
		go func() { second <- serve(other, r) }()

		w := <-first
		require.Equal(t, 409, w.Code, "the successor's answer counts, not this one's")
		require.Equal(t, 409, serve(other, signedRequest(t, scheme, "whk_1", eventBody)).Code, "the successor's claim still stands")
		w = <-second
		require.Equal(t, 200, w.Code)
		require.Equal(t, `{"received":true,"duplicate":true}`, serve(other, signedRequest(t, scheme, "whk_1", eventBody)).Body.String())
		require.EqualValues(t, 1, calls.Load())
	})
}

// A store that fails for a moment and recovers before the lease ends does no
// harm.
func TestLease_FailedRenewalIsRetried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store, timeout := receivertest.NewStore(t), receivertest.Fails(errors.New("timeout"))
		store.Next(receivertest.Renew, timeout, timeout)
		h := newReceiver(t, scheme, receiver.WithDedupe(store, "test")).Events(func(ctx context.Context, _ *payload.Event) error {
			time.Sleep(5 * time.Minute)
			return context.Cause(ctx)
		})
		require.Equal(t, 200, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
	})
}

// A lease counts from when the store was asked. A slow answer leaves little
// time for the first renewal.
func TestLease_SlowClaimIsRenewedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := receivertest.NewStore(t).Every(receivertest.Claim, receivertest.Late(1500*time.Millisecond))
		h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(2*time.Second)).Events(
			func(ctx context.Context, _ *payload.Event) error {
				time.Sleep(20 * time.Second)
				return context.Cause(ctx)
			})
		require.Equal(t, 200, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
	})
}

// A claim that took longer to grant than its lease may belong to another
// instance.
func TestClaim_GrantedAfterLeaseIsNotUsed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := receivertest.NewStore(t).Every(receivertest.Claim, receivertest.Late(time.Second))
		h := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(time.Second)).Events(
			func(context.Context, *payload.Event) error {
				t.Error("the handler ran")
				return nil
			})
		require.Equal(t, 503, serve(h, signedRequest(t, scheme, "whk_1", eventBody)).Code)
		require.Equal(t, 1, store.Calls(receivertest.Release))
	})
}
