package service_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/receiver/service"
)

// A check or a logger that misbehaves leaves readiness with an answer.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithCheck": func(t *testing.T, f *callbacktest.Fault) {
			synctest.Test(t, func(t *testing.T) {
				f.Reset(t)
				s := newService(t, hello, service.WithLogger(slog.New(slog.DiscardHandler)),
					service.WithCheck("store", func(context.Context) error { f.Happen(); return nil }))
				require.ErrorContains(t, s.Ready(t.Context()), "store: the check ")
				require.Equal(t, map[string]uint64{"WithCheck": 1}, s.Faults())
			})
		},
		"WithTelemetry": func(t *testing.T, f *callbacktest.Fault) {
			bad := closer(func() error { f.Happen(); return nil })
			s := newService(t, hello, service.WithLogger(slog.New(slog.DiscardHandler)), service.WithDrain(0), service.WithStopTimeout(10*time.Millisecond),
				service.WithTelemetry(func(func(context.Context) []service.CheckResult) (io.Closer, error) { return bad, nil }))
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			require.NoError(t, s.Run(ctx, listen(t)))
			require.Equal(t, map[string]uint64{"WithTelemetry": 1}, s.Faults())
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			s := newService(t, hello, service.WithLogger(slog.New(badHandler{f.Happen})),
				service.WithCheck("store", func(context.Context) error { return errors.New("down") }))
			require.EqualError(t, s.Ready(t.Context()), "store: down")
		},
	})
}

// badHandler calls happen for each line.
type badHandler struct{ happen func() }

func (b badHandler) Enabled(context.Context, slog.Level) bool { return true }

func (b badHandler) Handle(context.Context, slog.Record) error { b.happen(); return nil }

func (b badHandler) WithAttrs([]slog.Attr) slog.Handler { return b }

func (b badHandler) WithGroup(string) slog.Handler { return b }
