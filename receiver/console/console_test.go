package console_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/webui/webuitest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/console"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

// The constructor names each mistake.
func TestNew(t *testing.T) {
	t.Parallel()
	authorize := func(*http.Request) (console.Access, error) { return console.Access{}, nil }
	_, err := console.New(authorize)
	require.ErrorIs(t, err, console.ErrConfig)
	require.ErrorContains(t, err, "there is nothing to show")
	_, err = console.New(nil, nil, console.WithInbox(nil), console.WithRecent(nil), console.WithLedger(nil), console.WithMetrics(nil), console.WithLogger(nil), console.WithName(""), console.WithTrustedOrigins("example.com"))
	for _, text := range []string{"the authorizer is nil", "an option is nil", "WithInbox", "WithRecent", "WithLedger", "WithMetrics", "WithLogger", "WithName", "WithTrustedOrigins"} {
		require.ErrorContains(t, err, text)
	}
}

// A source that is down costs the page, and the log says why.
func TestSourceIsDown(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	require.NoError(t, w.inbox.Close())
	require.NoError(t, w.ledger.Close())
	for _, path := range []string{"/orgs/acme/deployments", "/orgs/acme/metrics"} {
		w.as("olga").Open(path).Refused(503, "The service can't answer now.")
	}
	w.as("olga").Open("/inbox").Refused(503, "The service can't answer now.", "Try again in a minute.")
}

// Pages of what a service does not have are unknown, and nothing leads to them.
func TestOptionalSources(t *testing.T) {
	t.Parallel()
	w := onSQLite(t)
	calculator, err := dora.New(w.ledger)
	require.NoError(t, err)
	everybody := func(*http.Request) (console.Access, error) {
		return console.Access{Read: true, Organizations: []string{"acme"}}, nil
	}
	w.deploy("acme", "run-1", payload.StatusSuccess, 30)
	for name, source := range map[string]console.Option{
		"Inbox": console.WithInbox(w.inbox), "Recent": console.WithRecent(w.recent), "Deployments": console.WithLedger(w.ledger), "Metrics": console.WithMetrics(calculator),
	} {
		h, err := console.New(everybody, source)
		require.NoError(t, err)
		server := httptest.NewServer(http.StripPrefix("/x", h))
		defer server.Close()
		page := webuitest.As(t, server.URL+"/x", "").Open("/")
		page.Says(name)
		for _, other := range []string{"Inbox", "Recent", "Deployments", "Metrics"} {
			if other != name {
				page.Lacks(other)
			}
		}
		for path, of := range map[string]string{"/inbox": "Inbox", "/recent": "Recent", "/orgs/acme/deployments": "Deployments", "/orgs/acme/metrics": "Metrics"} {
			if answer := webuitest.As(t, server.URL+"/x", "").Open(path); of != name {
				answer.Refused(404)
			}
		}
		if name == "Metrics" { // deployments have no pages to lead to
			report := webuitest.As(t, server.URL+"/x", "").Open("/orgs/acme/metrics/report?service=api&environment=production").Says("run-1")
			report.Lacks("run-1").Lacks("Deployments")
		}
	}
}
