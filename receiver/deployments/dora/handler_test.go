package dora_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/dora/internal/doratest"
	"github.com/deployhook/deployhook/signer"
)

const (
	acmeKey  = "dhk_0123456789abcdef0123456789abcdef"
	otherKey = "dhk_fedcba9876543210fedcba9876543210"
)

func newKeys(t *testing.T) signer.Verifier {
	t.Helper()
	var keys []signer.APIKey
	for organization, key := range map[string]string{org: acmeKey, "other": otherKey} {
		hash, err := signer.HashAPIKey(key)
		require.NoError(t, err)
		keys = append(keys, signer.APIKey{Principal: organization, Hash: hash})
	}
	scheme, err := signer.NewAPIKeys(keys)
	require.NoError(t, err)
	return scheme
}

func newHandler(t *testing.T, ledger deployments.History) http.Handler {
	t.Helper()
	c, err := dora.New(ledger)
	require.NoError(t, err)
	h, err := dora.NewHandler(newKeys(t), c, dora.WithHandlerLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	return h
}

func get(t *testing.T, h http.Handler, key, query string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/api/metrics/dora?"+query, nil)
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func filled(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	for i, version := range []string{"1", "2", "3", "1"} {
		w.record(live("d"+version+"-"+string(rune('a'+i)), sha(version), clock(t, "10:00").Add(time.Duration(i)*time.Hour)))
	}
	d := live("s", sha("1"), clock(t, "10:00"))
	d.Environment = "staging"
	w.record(d)
	d = live("=1+1", sha("1"), clock(t, "10:00"))
	d.Service = "=cmd()"
	w.record(d)
	return w
}

const march = "from=2026-03-02&to=2026-03-16&zone=Europe/Berlin"

func TestHandler_JSON(t *testing.T) {
	t.Parallel()
	h := newHandler(t, filled(t).ledger)
	w := get(t, h, acmeKey, march+"&service=api&environment=production")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "application/json", w.Header().Get("Content-Type"))
	var got struct{ Reports []map[string]any }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.Len(t, got.Reports, 1)
	r := got.Reports[0]
	require.Equal(t, map[string]any{"from": "2026-03-02", "to": "2026-03-16", "zone": "Europe/Berlin"}, r["window"])
	fails := r["changeFailRate"].(map[string]any)
	require.InDelta(t, 0.25, fails["rate"], 0)
	require.Equal(t, []any{"d2-b"}, fails["deployments"])
	require.NotContains(t, r["changeLeadTime"], "medianSeconds", "absent and not zero or null")
	require.Len(t, r["weeks"], 2)
	require.Len(t, r["deployments"], 4)
	w = get(t, h, acmeKey, march+"&service=api&environment=production&evidence=false")
	got.Reports = nil
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &got))
	require.NotContains(t, got.Reports[0], "deployments")
	require.Equal(t, r["changeFailRate"], got.Reports[0]["changeFailRate"])

	require.NoError(t, json.Unmarshal(get(t, h, acmeKey, march).Body.Bytes(), &got))
	require.Len(t, got.Reports, 3, "all services and environments, and no blended figure")
	require.JSONEq(t, `{"reports":[]}`, get(t, h, otherKey, march).Body.String(), "another organization's")
	require.Equal(t, http.StatusOK, get(t, h, acmeKey, "").Code, "all parameters are optional")
}

func TestHandler_CSV(t *testing.T) {
	t.Parallel()
	w := get(t, newHandler(t, filled(t).ledger), acmeKey, march+"&environment=production&format=csv")
	require.Equal(t, http.StatusOK, w.Code)
	require.Equal(t, "text/csv; charset=utf-8", w.Header().Get("Content-Type"))
	rows, err := csv.NewReader(w.Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 1+2*3, "each scope has its window and two weeks")
	column := func(row int, name string) string {
		for i, head := range rows[0] {
			if head == name {
				return rows[row][i]
			}
		}
		t.Fatal("no column", name)
		return ""
	}
	require.Equal(t, "'=cmd()", column(1, "service"), "no formula")
	require.Equal(t, "api", column(4, "service"))
	require.Equal(t, "window", column(4, "period"))
	require.Equal(t, "0.25", column(4, "changeFailRate.rate"))
	require.Equal(t, "1", column(4, "changeFailRate.deployments"))
	require.Equal(t, "7200", column(4, "failedDeploymentRecoveryTime.medianSeconds"))
	require.Equal(t, "first=1 no_history=3", column(4, "changeLeadTime.leftOut"))
	require.Empty(t, column(4, "changeLeadTime.medianSeconds"))
	require.Equal(t, "0", column(6, "deploymentFrequency.perDay"), "the second week")
	require.Empty(t, column(6, "changeFailRate.rate"))
}

func TestHandler_Refusals(t *testing.T) {
	t.Parallel()
	h := newHandler(t, filled(t).ledger)
	for _, key := range []string{"", "dhk_unknown_unknown_unknown_unknown_0"} {
		w := get(t, h, key, march)
		require.Equal(t, http.StatusUnauthorized, w.Code)
		require.JSONEq(t, `{"error":"Invalid or missing API key"}`, w.Body.String())
	}
	for _, query := range []string{
		"from=yesterday", "to=2026-02-30", "from=2026-03-02&to=2026-03-02", "zone=Mars", "zone=Local", "zone=../../etc/passwd",
		"format=xml", "evidence=1", "services=api", "service=a&service=b", "from=1000-01-01",
	} {
		w := get(t, h, acmeKey, query)
		require.Equal(t, http.StatusBadRequest, w.Code, query)
		require.Contains(t, w.Body.String(), "Invalid parameter: ")
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader("{}"))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	require.Equal(t, http.StatusMethodNotAllowed, w.Code)
	require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
}

// broken is a ledger that is down.
type broken struct{}

var errDown = errors.New("the database is down at 10.0.0.1")

func (broken) Scopes(context.Context, string) ([]deployments.Scope, error) {
	return []deployments.Scope{api}, nil
}

func (broken) Runs(context.Context, string, deployments.Scope, time.Time, time.Time) iter.Seq2[deployments.Run, error] {
	return func(yield func(deployments.Run, error) bool) { yield(deployments.Run{}, errDown) }
}

func (broken) Incidents(context.Context, string) iter.Seq2[payload.Incident, error] {
	return func(yield func(payload.Incident, error) bool) { yield(payload.Incident{}, errDown) }
}

func TestHandler_LedgerDown(t *testing.T) {
	t.Parallel()
	w := get(t, newHandler(t, broken{}), acmeKey, march)
	require.Equal(t, http.StatusServiceUnavailable, w.Code)
	require.Equal(t, "5", w.Header().Get("Retry-After"))
	require.NotContains(t, w.Body.String(), "10.0.0.1")
	w = httptest.NewRecorder()
	(&dora.Handler{}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil))
	require.Equal(t, http.StatusServiceUnavailable, w.Code, "a Handler that was not made")
}

func TestHandler_Configuration(t *testing.T) {
	t.Parallel()
	c, err := dora.New(newWorld(t).ledger)
	require.NoError(t, err)
	for _, make := range []func() (*dora.Handler, error){
		func() (*dora.Handler, error) { return dora.NewHandler(nil, c) },
		func() (*dora.Handler, error) { return dora.NewHandler(newKeys(t), nil) },
		func() (*dora.Handler, error) { return dora.NewHandler(newKeys(t), &dora.Calculator{}) },
		func() (*dora.Handler, error) { return dora.NewHandler(newKeys(t), c, nil) },
		func() (*dora.Handler, error) { return dora.NewHandler(newKeys(t), c, dora.WithReportTimeout(0)) },
		func() (*dora.Handler, error) { return dora.NewHandler(newKeys(t), c, dora.WithConcurrentReports(0)) },
	} {
		_, err := make()
		require.ErrorIs(t, err, dora.ErrConfig)
	}
	_, err = dora.New(nil, dora.WithCommits(nil), dora.WithMarker(nil), dora.WithMaxCommits(-1), nil)
	for _, name := range []string{"New:", "WithCommits", "WithMarker", "WithMaxCommits(-1)", "nil Option"} {
		require.ErrorContains(t, err, name, "all at once")
	}
	_, err = dora.Compute(t.Context(), dora.Input{}, dora.Window{})
	require.ErrorContains(t, err, "NewWindow")
	require.ErrorContains(t, err, "Input.Runs")
	require.ErrorContains(t, err, "Input.Scope has no Environment")
	_, err = c.Report(t.Context(), org, deployments.Scope{Service: "api"}, week(t))
	require.ErrorContains(t, err, "no Environment")
	_, err = c.Report(t.Context(), org, api, dora.Window{})
	require.ErrorIs(t, err, dora.ErrConfig)
	var none *dora.Calculator
	_, err = none.Reports(t.Context(), org, week(t))
	require.ErrorIs(t, err, dora.ErrConfig)
}

func TestReport_WriteText(t *testing.T) {
	t.Parallel()
	w := filled(t)
	w.incident(opened("i", clock(t, "08:00"), time.Time{}))
	var out strings.Builder
	require.NoError(t, w.report(window(t, "UTC", "2026-03-02", "2026-03-30"), dora.WithCommits(doratest.Commits{"": {
		{ID: sha("1"), Authored: clock(t, "09:00")},
		{ID: sha("2"), Parents: []string{sha("1")}, Authored: clock(t, "09:30")},
		{ID: sha("3"), Parents: []string{sha("2")}, Authored: clock(t, "09:40")},
	}})).WriteText(&out))
	require.Equal(t, `api in production (acme)
2026-03-02 to 2026-03-30, exclusive, UTC

  change lead time                  1h55m, p90 2h15m          █···  2 commits (left out: 1 first, 1 going back)
  deployment frequency              0.14 a day, 0 days a week  █▁▁▁  4 deployments
  failed deployment recovery time   2h0m                      █···  1 recovered
  change fail rate                  25.0 %                    █···  1 of 4
  deployment rework rate            25.0 %                    █···  1 of 4
  1 incident tells of no deployment

`, out.String())
}
