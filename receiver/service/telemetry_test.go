package service_test

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/service"
)

type closer func() error

func (c closer) Close() error { return c() }

// Metrics and requests of readiness share the checks.
func TestTelemetry_GetsTheResultOfEachCheck(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		full := errors.New("disk full")
		var calls atomic.Int64
		var checks func(context.Context) []service.CheckResult
		s := newService(t, hello,
			service.WithCheck("deliveries", func(context.Context) error { calls.Add(1); return full }),
			service.WithCheck("cache", func(context.Context) error { return nil }),
			service.WithTelemetry(func(own func(context.Context) []service.CheckResult) (io.Closer, error) {
				checks = own
				return closer(func() error { return nil }), nil
			}))
		for range 3 {
			got := checks(t.Context())
			require.Len(t, got, 2)
			require.Equal(t, "deliveries", got[0].Name)
			require.ErrorIs(t, got[0].Err, full)
			require.Equal(t, service.CheckResult{Name: "cache"}, got[1])
			require.EqualError(t, s.Ready(t.Context()), "deliveries: disk full")
		}
		require.EqualValues(t, 1, calls.Load())
	})
}

// A check that has not returned when the context ends has failed.
func TestChecks_FailIfTheyHang(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newService(t, hello, service.WithCheck("deliveries", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		got := s.Checks(ctx)
		require.Len(t, got, 1)
		require.Equal(t, "deliveries", got[0].Name)
		require.ErrorIs(t, got[0].Err, context.DeadlineExceeded)
		synctest.Wait()
		time.Sleep(time.Minute) // the check ends before the test does
	})
}

func TestTelemetry_IsClosedAtTheEnd(t *testing.T) {
	t.Parallel()
	var out log
	closed := 0
	s := newService(t, hello, service.WithLogger(out.logger()), service.WithDrain(0), service.WithCheck("store", func(context.Context) error { return nil }),
		service.WithTelemetry(func(func(context.Context) []service.CheckResult) (io.Closer, error) {
			return closer(func() error { closed++; return errors.New("not registered") }), nil
		}))
	require.Len(t, s.Checks(t.Context()), 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.NoError(t, s.Run(ctx, listen(t)))
	require.Equal(t, 1, closed)
	require.Contains(t, out.String(), `level=WARN msg="service: closing the telemetry failed" error="not registered"`)
	require.Empty(t, s.Checks(t.Context()))
}

func TestTelemetry_OpenFails(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(func(context.Context) []service.CheckResult) (io.Closer, error){
		"no collector": func(func(context.Context) []service.CheckResult) (io.Closer, error) {
			return nil, errors.New("no collector")
		},
		"neither":  func(func(context.Context) []service.CheckResult) (io.Closer, error) { return nil, nil },
		"panicked": func(func(context.Context) []service.CheckResult) (io.Closer, error) { panic("no") },
	} {
		_, err := service.New(hello, service.WithTelemetry(open))
		require.ErrorIs(t, err, service.ErrConfig)
		require.ErrorContains(t, err, "WithTelemetry: ")
		require.ErrorContains(t, err, name)
	}
}
