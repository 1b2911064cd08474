package console_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/inbox"
)

// An authorizer that misbehaves permits nothing, and a log handler costs no
// answer.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"authorizer": func(t *testing.T, f *callbacktest.Fault) {
			h, err := console.New(func(*http.Request) (console.Access, error) {
				f.Happen()
				return console.Access{Read: true}, nil
			}, console.WithInbox(onSQLite(t).inbox))
			require.NoError(t, err)
			want := map[callbacktest.Kind]int{callbacktest.Panics: 503, callbacktest.Exits: 503, callbacktest.Hangs: 200}[f.Kind]
			require.Equal(t, want, callbacktest.Outlives(t, f, func() int { return serve(h, "GET", "/inbox") }))
			require.Equal(t, want == 503, h.Faults()["authorizer"] == 1)
		},
		"WithLedger": func(t *testing.T, f *callbacktest.Fault) {
			w := onSQLite(t)
			everybody := func(*http.Request) (console.Access, error) {
				return console.Access{Read: true, Organizations: []string{"acme"}}, nil
			}
			h, err := console.New(everybody, console.WithLedger(badLedger{w.ledger, f.Happen}))
			require.NoError(t, err)
			want := map[callbacktest.Kind]int{callbacktest.Panics: 500, callbacktest.Exits: 500, callbacktest.Hangs: 200}[f.Kind]
			require.Equal(t, want, callbacktest.Outlives(t, f, func() int { return serve(h, "GET", "/orgs/acme/deployments") }))
			require.Equal(t, want == 500, h.Faults()["WithLedger"] == 1)
			if f.Kind == callbacktest.Hangs {
				return
			}
			for _, path := range []string{"/orgs/acme/history", "/orgs/acme/deployment?id=x"} {
				require.Equal(t, want, serve(h, "GET", path))
			}
		},
		"WithLogger": func(t *testing.T, f *callbacktest.Fault) {
			w := onSQLite(t)
			w.fail("dep_1", "no such app")
			w.start()
			id := w.receive("dep_1")
			w.reaches(id, inbox.Dead, 1)
			h, err := console.New(func(*http.Request) (console.Access, error) { return console.Access{Read: true, Act: true}, nil },
				console.WithInbox(w.inbox), console.WithLogger(slog.New(badHandler{f.Happen})))
			require.NoError(t, err)
			require.Equal(t, 303, callbacktest.Outlives(t, f, func() int { return serve(h, "POST", fmt.Sprintf("/inbox/deliveries/%d/replay", id)) }))
			require.Equal(t, f.Kind != callbacktest.Hangs, h.Faults()["WithLogger"] == 1)
		},
	})
}

func serve(h *console.Handler, method, path string) int {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, path, strings.NewReader(""))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	h.ServeHTTP(w, r)
	return w.Code
}

type badLedger struct {
	console.Ledger

	fault func()
}

func (l badLedger) Scopes(ctx context.Context, organization string) ([]deployments.Scope, error) {
	l.fault()
	return l.Ledger.Scopes(ctx, organization)
}

func (l badLedger) Latest(ctx context.Context, organization string, s deployments.Scope, p deployments.Page) (deployments.Records, error) {
	l.fault()
	return l.Ledger.Latest(ctx, organization, s, p)
}

func (l badLedger) Get(ctx context.Context, organization, id string) (*deployments.Record, error) {
	l.fault()
	return l.Ledger.Get(ctx, organization, id)
}

type badHandler struct{ fault func() }

func (badHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h badHandler) Handle(context.Context, slog.Record) error { h.fault(); return nil }
func (h badHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h badHandler) WithGroup(string) slog.Handler             { return h }
