package api_test

import (
	"context"
	"log/slog"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/sender/outbox/api"
)

// An authorizer that misbehaves permits nothing, and a log handler costs no
// answer.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"authorizer": func(t *testing.T, f *callbacktest.Fault) {
			o := onSQLite(t).Outbox
			h, err := api.New(o, func(*http.Request) (api.Access, error) {
				f.Happen()
				return api.Access{Operator: true}, nil
			})
			require.NoError(t, err)
			want := map[callbacktest.Kind]int{callbacktest.Panics: 503, callbacktest.Exits: 503, callbacktest.Hangs: 200}[f.Kind]
			require.Equal(t, want, callbacktest.Outlives(t, f, func() int { return serve(t, h, "GET", "/apps") }))
			require.Equal(t, want == 503, h.Faults()["authorizer"] == 1)
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			o := onSQLite(t).Outbox
			h, err := api.New(o, func(*http.Request) (api.Access, error) { return api.Access{Operator: true}, nil },
				api.WithLogger(slog.New(badHandler{f.Happen})))
			require.NoError(t, err)
			require.Equal(t, 200, callbacktest.Outlives(t, f, func() int { return serve(t, h, "PUT", "/apps/shop") }))
			require.Equal(t, f.Kind != callbacktest.Hangs, h.Faults()["WithLogger"] == 1)
		},
	})
}

func serve(t *testing.T, h *api.Handler, method, path string) int {
	r, err := http.NewRequestWithContext(t.Context(), method, path, nil)
	if err != nil {
		return 0
	}
	w := &discard{header: http.Header{}}
	h.ServeHTTP(w, r)
	return w.status
}

type badHandler struct{ fault func() }

func (badHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }
