package dora_test

import (
	"context"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/callbacktest"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

// A fault of the application's code is an error of the report. The handler
// answers 503 then, and answers even if its logger does not return.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	callbacktest.Run(t, ".", map[string]func(t *testing.T, f *callbacktest.Fault){
		"WithMarker": func(t *testing.T, f *callbacktest.Fault) {
			faulty(t, f, dora.WithMarker(func(deployments.Run, string) bool {
				f.Happen()
				return false
			}))
		},
		"WithCommits": func(t *testing.T, f *callbacktest.Fault) { faulty(t, f, dora.WithCommits(badCommits{f.Happen})) },
		"WithHandlerLogger": func(t *testing.T, f *callbacktest.Fault) {
			synctest.Test(t, func(t *testing.T) {
				f.Reset(t)
				c, err := dora.New(broken{})
				require.NoError(t, err)
				h, err := dora.NewHandler(newKeys(t), c, dora.WithHandlerLogger(slog.New(badHandler{f.Happen})))
				require.NoError(t, err)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				require.Equal(t, http.StatusServiceUnavailable, answer(ctx, h))
				require.Equal(t, map[string]uint64{"WithHandlerLogger": 1}, h.Faults())
			})
		},
	})
}

// answer returns the status of the answer to a request.
func answer(ctx context.Context, h http.Handler) int {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/metrics/dora", nil)
	r.Header.Set("Authorization", "Bearer "+acmeKey)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// faulty computes a report with an option that has a fault.
func faulty(t *testing.T, f *callbacktest.Fault, option dora.Option) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f.Reset(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		w := newWorld(t)
		w.record(live("1", sha("1"), clock(t, "10:00")))
		_, err := dora.Compute(ctx, dora.Input{
			Organization: org, Scope: api, Runs: w.ledger.Runs(ctx, org, api, time.Time{}, time.Time{}),
		}, window(t, "UTC", "2026-03-02", "2026-03-09"), option)
		require.ErrorContains(t, err, "dora: the ledger, the history or the marker")
		require.NotZero(t, f.Calls())
	})
}

type badCommits struct{ happen func() }

func (c badCommits) Resolve(context.Context, dora.Repository, []string) ([]dora.Resolved, error) {
	c.happen()
	return nil, dora.ErrNoHistory
}

func (c badCommits) Walk(context.Context, dora.Repository, []dora.CommitID, []dora.CommitID) iter.Seq2[dora.Commit, error] {
	return func(func(dora.Commit, error) bool) {}
}

// badHandler is a slog handler with a fault.
type badHandler struct{ happen func() }

func (badHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h badHandler) Handle(context.Context, slog.Record) error {
	h.happen()
	return nil
}

func (h badHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h badHandler) WithGroup(string) slog.Handler { return h }
