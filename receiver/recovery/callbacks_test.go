package recovery_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/receiver/recovery"
)

// A callback that misbehaves costs at most its run.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	discard := recovery.WithLogger(slog.New(slog.DiscardHandler))
	run := func(t *testing.T, f *callbacktest.Fault, key string, want error, token recovery.Token, opts ...recovery.Option) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			f.Reset(t)
			c, err := recovery.New(repository, token, append([]recovery.Option{discard, recovery.WithTransport(reply(200, one))}, opts...)...)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			_, err = c.Recover(ctx)
			require.ErrorIs(t, err, want)
			require.NotZero(t, c.Faults()[key])
		})
	}
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"Token": func(t *testing.T, f *callbacktest.Fault) {
			run(t, f, "Token", recovery.ErrToken, func(context.Context) (string, error) { f.Happen(); return token, nil })
		},
		"WithTransport": func(t *testing.T, f *callbacktest.Fault) {
			bad := roundTripper(func(*http.Request) (*http.Response, error) { f.Happen(); return nil, io.EOF })
			run(t, f, "WithTransport", recovery.ErrAPI, tokens, recovery.WithTransport(bad))
		},
		"WithObserver": func(t *testing.T, f *callbacktest.Fault) {
			run(t, f, "WithObserver", nil, tokens, recovery.WithObserver(func(context.Context, recovery.Result, error) { f.Happen() }))
		},
		"WithProgress": func(t *testing.T, f *callbacktest.Fault) {
			run(t, f, "WithProgress", nil, tokens, recovery.WithProgress(func(context.Context, recovery.Progress) { f.Happen() }))
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			if f.Kind == callbacktest.Hangs {
				f.Release() // a logger is waited for
			}
			c, err := recovery.New(repository, tokens, recovery.WithTransport(asks(1, reply(202, ""))), recovery.WithLogger(slog.New(badHandler{f.Happen})))
			require.NoError(t, err)
			_, err = c.Recover(t.Context())
			require.NoError(t, err)
		},
	})
}

// badHandler calls happen for each line.
type badHandler struct{ happen func() }

func (b badHandler) Enabled(context.Context, slog.Level) bool { return true }

func (b badHandler) Handle(context.Context, slog.Record) error { b.happen(); return nil }

func (b badHandler) WithAttrs([]slog.Attr) slog.Handler { return b }

func (b badHandler) WithGroup(string) slog.Handler { return b }
