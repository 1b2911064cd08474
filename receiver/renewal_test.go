package receiver_test

import (
	"context"
	"errors"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

// A handler that ends its goroutine leaves no renewal running.
func TestRenewal_EndsWithTheGoroutine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := receivertest.NewStore(t)
		err := failedResult(t, func(context.Context, *payload.Event) error { runtime.Goexit(); return nil }, receiver.WithDedupe(store, "test"))
		require.ErrorContains(t, err, "ended the goroutine")
		time.Sleep(5 * time.Minute)
		require.Zero(t, store.Calls(receivertest.Renew))
	})
}

// The answer does not wait for a store that is slow to renew.
func TestRenewal_EndsWithTheHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := receivertest.NewStore(t).Every(receivertest.Renew, receivertest.Hangs())
		scheme, start := newScheme(t), time.Now()
		rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(30*time.Second))
		h := rcv.Events(func(context.Context, *payload.Event) error { time.Sleep(11 * time.Second); return nil })
		require.Equal(t, 200, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
		require.Equal(t, 11*time.Second, time.Since(start), "the renewal began at 10 s")
	})
}

var errAway = errors.New("store is away")

// A lease may have begun when it was requested, even if the answer came late.
func TestRenewal_LeaseCountsFromRequest(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		late receivertest.Method
		want time.Duration
	}{
		"the claim":   {receivertest.Claim, 30 * time.Second},
		"the renewal": {receivertest.Renew, 40 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				store := receivertest.NewStore(t).Every(receivertest.Renew, receivertest.Fails(errAway))
				store.Next(c.late, receivertest.Late(4*time.Second))
				scheme, start := newScheme(t), time.Now()
				rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(30*time.Second))
				var told time.Duration
				h := rcv.Events(func(ctx context.Context, _ *payload.Event) error {
					<-ctx.Done()
					told = time.Since(start)
					return context.Cause(ctx)
				})
				require.Equal(t, 500, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
				require.Equal(t, c.want, told)
			})
		})
	}
}

// A handler learns when its lease ends, even if the store hangs from then on.
// The simulation has found this with the seeds 1795880914943107754,
// 1795880914943086623 and 1795880914943129056. Another instance handled the
// same delivery before the handler knew.
func TestRenewal_StoreHangsAtTheEndOfTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme, start := newScheme(t), time.Now()
		store := receivertest.NewStore(t).Every(receivertest.Renew, func(ctx context.Context, _ func(context.Context) error) error {
			if time.Since(start) >= 30*time.Second {
				<-ctx.Done()
			}
			return errAway
		})
		rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(30*time.Second))
		var told time.Duration
		h := rcv.Events(func(ctx context.Context, _ *payload.Event) error {
			<-ctx.Done()
			told = time.Since(start)
			require.ErrorIs(t, context.Cause(ctx), receiver.ErrLeaseLost)
			require.ErrorIs(t, context.Cause(ctx), errAway)
			return context.Cause(ctx)
		})
		require.Equal(t, 500, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
		require.Equal(t, 30*time.Second, told)
	})
}

// Renewals that take most of the lease still follow each other in time.
func TestRenewal_NextCountsFromRequest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		scheme := newScheme(t)
		store := receivertest.NewStore(t).Every(receivertest.Renew, receivertest.Late(2500*time.Millisecond))
		rcv := newReceiver(t, scheme, receiver.WithDedupe(store, "test"), receiver.WithLease(3*time.Second))
		h := rcv.Events(func(ctx context.Context, _ *payload.Event) error {
			select {
			case <-time.After(time.Minute):
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		require.Equal(t, 200, serve(h, signedRequest(t, scheme, "", eventBody)).Code)
	})
}
