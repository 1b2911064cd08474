package referencetest

import (
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
