package receiver_test

import (
	"context"
	"errors"
	"net/http/httptest"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/receiver/receivertest"
)

// A claim that was not released delays the retry until its lease ends. The
// result reports it.
func TestRelease_FailureIsReported(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handler receiver.EventHandler
		reason  string
	}{
		"error":          {func(context.Context, *payload.Event) error { return errors.New("no disk") }, "no disk"},
		"panic":          {func(context.Context, *payload.Event) error { panic("no disk") }, "panicked: no disk"},
		"goroutine ends": {func(context.Context, *payload.Event) error { runtime.Goexit(); return nil }, "ended the goroutine"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := receivertest.NewStore(t).Every(receivertest.Release, receivertest.Fails(errors.New("store is away")))
			err := failedResult(t, c.handler, receiver.WithDedupe(store, "test"))
			require.ErrorContains(t, err, c.reason)
			require.ErrorContains(t, err, "receiver: release: store is away")
		})
	}
}

func TestRelease_FailureOfALateClaimIsReported(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := receivertest.NewStore(t).Every(receivertest.Release, receivertest.Fails(errors.New("store is away")))
		store.Every(receivertest.Claim, receivertest.Late(time.Second))
		err := failedResult(t, ok, receiver.WithDedupe(store, "test"), receiver.WithLease(time.Second))
		require.ErrorContains(t, err, "longer than the lease")
		require.ErrorContains(t, err, "receiver: release: store is away")
	})
}

// failedResult makes one delivery and returns the error in the observer's
// result.
func failedResult(t *testing.T, h receiver.EventHandler, opts ...receiver.Option) error {
	t.Helper()
	scheme := newScheme(t)
	results := make(chan receiver.Result, 1)
	opts = append(opts, receiver.WithObserver(func(_ context.Context, r receiver.Result) { results <- r }))
	handler, r := newReceiver(t, scheme, opts...).Events(h), signedRequest(t, scheme, "whk_1", eventBody)
	// its own goroutine, because a handler may end it
	go handler.ServeHTTP(httptest.NewRecorder(), r)
	return (<-results).Err
}
