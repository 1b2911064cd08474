package service_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/service"
)

func TestNew_ReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := service.New(nil, service.WithCheck("", nil), service.WithLogger(nil), service.WithDrain(-1), service.WithStopTimeout(-1),
		service.WithCheckTimeout(0), service.WithReadTimeouts(0, 0), service.WithHealthPaths("/x", "/x"), service.WithTelemetry(nil))
	require.ErrorIs(t, err, service.ErrConfig)
	for _, name := range []string{"handler is nil", "WithCheck", "WithLogger", "WithDrain", "WithStopTimeout", "WithCheckTimeout", "WithReadTimeouts", "WithHealthPaths", "WithTelemetry"} {
		require.ErrorContains(t, err, name)
	}
	_, err = service.New(hello, nil)
	require.ErrorIs(t, err, service.ErrConfig)

	var zero service.Service
	require.ErrorIs(t, zero.Run(t.Context(), nil), service.ErrConfig)
	require.ErrorIs(t, zero.Ready(t.Context()), service.ErrConfig)
	require.Empty(t, zero.Faults())
	require.Empty(t, zero.Checks(t.Context()))
}

// Readiness runs the checks at most every five seconds, no matter how many
// requests there are at once.
func TestReady_ChecksAtMostEveryFiveSeconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		s := newService(t, hello, service.WithCheck("store", func(context.Context) error {
			calls.Add(1)
			time.Sleep(time.Second)
			return nil
		}))
		for range 3 {
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() { require.NoError(t, s.Ready(t.Context())) })
			}
			wg.Wait()
		}
		require.Equal(t, int64(1), calls.Load())
		time.Sleep(5 * time.Second)
		require.NoError(t, s.Ready(t.Context()))
		require.Equal(t, int64(2), calls.Load())
	})
}

func TestReady_LogsReasonOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out log
		var broken atomic.Bool
		s := newService(t, hello, service.WithLogger(out.logger()), service.WithCheck("deliveries", func(context.Context) error {
			if broken.Load() {
				return errors.New("disk full")
			}
			return nil
		}), service.WithCheck("other", func(context.Context) error { return nil }))
		require.NoError(t, s.Ready(t.Context()))
		require.Empty(t, out.String())
		time.Sleep(5 * time.Second)
		broken.Store(true)
		for range 36 { // three minutes
			require.EqualError(t, s.Ready(t.Context()), "deliveries: disk full")
			time.Sleep(5 * time.Second)
		}
		synctest.Wait()
		require.Equal(t, 3, strings.Count(out.String(), `level=ERROR msg="service: not ready"`), out.String())
		require.Contains(t, out.String(), `error="deliveries: disk full" left_out=11`)
		broken.Store(false)
		require.NoError(t, s.Ready(t.Context()))
		synctest.Wait()
		require.Contains(t, out.String(), `level=INFO msg="service: ready again" after=3m0s`)
	})
}

// A check that hangs does not hold readiness, and is not called again before it
// has returned.
func TestReady_HangingCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int64
		hang := make(chan struct{})
		s := newService(t, hello, service.WithLogger(slog.New(slog.DiscardHandler)), service.WithCheck("store", func(context.Context) error {
			calls.Add(1)
			<-hang
			return nil
		}))
		begun := time.Now()
		require.ErrorContains(t, s.Ready(t.Context()), "store: the check did not return in time")
		require.Less(t, time.Since(begun), 4*time.Second)
		for range 10 {
			time.Sleep(5 * time.Second)
			require.ErrorContains(t, s.Ready(t.Context()), "an earlier check has not returned yet")
		}
		require.Equal(t, int64(1), calls.Load())
		close(hang)
		time.Sleep(5 * time.Second)
		require.NoError(t, s.Ready(t.Context()))
		require.Equal(t, map[string]uint64{"WithCheck": 1}, s.Faults())
	})
}

// One request that gives up does not end the checks of the others.
func TestReady_RequestGivesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, hello, service.WithCheck("store", func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(2 * time.Second):
				return nil
			}
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Ready(ctx), context.DeadlineExceeded)
		require.NoError(t, s.Ready(t.Context()))
	})
}

func TestHealthPaths(t *testing.T) {
	t.Parallel()
	var out log
	var calls atomic.Int64
	s := newService(t, hello, service.WithLogger(out.logger()), service.WithDrain(0), service.WithCheck("deliveries", func(context.Context) error {
		calls.Add(1)
		return errors.New("the password is wrong")
	}))
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	addr := l.Addr().String()

	status, text := get(t, addr, "/livez")
	require.Equal(t, http.StatusOK, status)
	require.Equal(t, "{\"status\":\"live\"}\n", text)
	require.Zero(t, calls.Load(), "liveness touches no store")
	status, text = get(t, addr, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "{\"status\":\"not ready\"}\n", text)
	require.Eventually(t, func() bool { return strings.Contains(out.String(), "the password is wrong") }, time.Minute, time.Millisecond)
	_, text = get(t, addr, "/anything")
	require.Equal(t, "hello", text)
	cancel()
	require.NoError(t, <-ended)
	require.ErrorIs(t, s.Ready(t.Context()), service.ErrStopping)
	require.ErrorContains(t, s.Run(t.Context(), l), "runs only once")
}

func TestHealthPaths_OfTheApplication(t *testing.T) {
	t.Parallel()
	s := newService(t, hello, service.WithHealthPaths("/alive", "/ready"), service.WithDrain(0), service.WithLogger(slog.New(slog.DiscardHandler)))
	l := listen(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx, l) }()
	for path, want := range map[string]string{"/alive": "{\"status\":\"live\"}\n", "/ready": "{\"status\":\"ready\"}\n", "/readyz": "hello"} {
		_, text := get(t, l.Addr().String(), path)
		require.Equal(t, want, text, path)
	}
	cancel()
	require.NoError(t, <-ended)
}

// A listener that fails ends the service.
func TestRun_ListenerFails(t *testing.T) {
	t.Parallel()
	s := newService(t, hello, service.WithLogger(slog.New(slog.DiscardHandler)))
	l := listen(t)
	require.NoError(t, l.Close())
	require.ErrorContains(t, s.Run(t.Context(), l), "the listener failed")
}
