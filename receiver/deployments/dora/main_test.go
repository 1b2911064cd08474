package dora_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// world is a ledger that a test fills.
type world struct {
	*testing.T
	ledger *deployments.MemoryLedger
}

func newWorld(t *testing.T) *world {
	t.Helper()
	l, err := deployments.NewMemoryLedger()
	require.NoError(t, err)
	return &world{t, l}
}

const org = "acme"

func (w *world) record(d *payload.Deployment) {
	w.Helper()
	_, err := w.ledger.Record(w.Context(), org, d)
	require.NoError(w, err)
}

func (w *world) incident(i *payload.Incident) {
	w.Helper()
	_, err := w.ledger.RecordIncident(w.Context(), org, i)
	require.NoError(w, err)
}

var api = deployments.Scope{Service: "api", Environment: "production"}

// report computes the figures of service api in production.
func (w *world) report(window dora.Window, opts ...dora.Option) *dora.Report {
	w.Helper()
	r, err := dora.Compute(w.Context(), dora.Input{
		Organization: org, Scope: api, Runs: w.ledger.Runs(w.Context(), org, api, time.Time{}, time.Time{}),
		Incidents: w.ledger.Incidents(w.Context(), org),
	}, window, opts...)
	require.NoError(w, err)
	return r
}

func window(t testing.TB, zone, first, end string) dora.Window {
	t.Helper()
	w, err := dora.NewWindow(zone, first, end)
	require.NoError(t, err)
	return w
}

// clock is a time on 2026-03-02, a Monday, or on a later day.
func clock(t testing.TB, text string, days ...int) time.Time {
	t.Helper()
	at, err := time.Parse(time.DateTime, "2026-03-02 "+text+":00")
	require.NoError(t, err)
	for _, d := range days {
		at = at.AddDate(0, 0, d)
	}
	return at
}

// sha is a commit of its own for each letter or digit of a name.
func sha(name string) string { return strings.Repeat(fmt.Sprintf("%x", name), 20)[:40] }

func live(id, commit string, at time.Time) *payload.Deployment {
	return &payload.Deployment{
		DeploymentID: id, CommitSHA: commit, Service: api.Service, Environment: api.Environment, Status: payload.StatusSuccess,
		StartedAt: at.Add(-time.Minute), CompletedAt: at,
	}
}

func opened(id string, at, resolved time.Time) *payload.Incident {
	return &payload.Incident{IncidentID: id, Service: api.Service, Environment: api.Environment, OpenedAt: at, ResolvedAt: resolved}
}

func failedIDs(r *dora.Report) []string { return slices.Clone(r.ChangeFailRate.Deployments) }

func runIDs(runs []deployments.Run) (ids []string) {
	for _, r := range runs {
		ids = append(ids, r.DeploymentID)
	}
	return ids
}
