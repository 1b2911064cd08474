package referencetest

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/dora/internal/doratest"
)

// referenceHistory is what testdata/reference.py writes.
type referenceHistory struct {
	Seed         int
	Zone         string
	From, To     string
	Deliveries   []*payload.Deployment
	Incidents    []*payload.Incident
	Repositories doratest.Commits
	Figures      referenceFigures
}

type referenceRate struct {
	N    int
	Of   []string
	Rate *float64
}

type referenceFigures struct {
	Deployments []string
	NotLive     []string `json:"not_live"`
	LeadTime    struct {
		N       int
		Median  *float64            `json:"median_seconds"`
		P90     *float64            `json:"p90_seconds"`
		LeftOut map[dora.Reason]int `json:"left_out"`
	} `json:"change_lead_time"`
	Frequency struct {
		N           int
		PerDay      *float64 `json:"per_day"`
		DaysPerWeek *float64 `json:"days_per_week"`
	} `json:"deployment_frequency"`
	FailRate         referenceRate `json:"change_fail_rate"`
	WithoutRollbacks referenceRate `json:"change_fail_rate_without_rollbacks"`
	ReworkRate       referenceRate `json:"deployment_rework_rate"`
	Recovery         struct {
		N          int
		Median     *float64 `json:"median_seconds"`
		Unresolved []string
	} `json:"failed_deployment_recovery_time"`
}

func readHistories(t *testing.T) (all []referenceHistory) {
	t.Helper()
	text, err := os.ReadFile("testdata/histories.json")
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &all))
	require.Len(t, all, 60)
	return all
}

// A second implementation, in another language and from the rules alone, has
// computed the same figures.
func TestCompute_EqualsTheReference(t *testing.T) {
	t.Parallel()
	for _, h := range readHistories(t) {
		w := newWorld(t)
		for _, d := range h.Deliveries {
			w.record(d)
		}
		for _, i := range h.Incidents {
			w.incident(i)
		}
		span := window(t, h.Zone, h.From, h.To)
		r := w.report(span, dora.WithCommits(h.Repositories))
		h.check(t, r)
		equalRate(t, h.Seed, "without rollbacks", h.Figures.WithoutRollbacks, w.report(span, dora.WithCommits(h.Repositories), dora.WithoutRollbacks()).ChangeFailRate)
	}
}

func (h *referenceHistory) check(t *testing.T, r *dora.Report) {
	t.Helper()
	want := h.Figures
	equalIDs(t, h.Seed, "deployments", want.Deployments, r.DeploymentFrequency.Deployments)
	equalIDs(t, h.Seed, "not live", want.NotLive, runIDs(r.NotLive))

	assert.Equal(t, want.LeadTime.N, r.ChangeLeadTime.N, "history %d: commits", h.Seed)
	assert.Equal(t, want.LeadTime.LeftOut, r.ChangeLeadTime.LeftOut, "history %d: left out", h.Seed)
	equalFigure(t, h.Seed, "lead time", want.LeadTime.Median, r.ChangeLeadTime.MedianSeconds)
	equalFigure(t, h.Seed, "lead time, p90", want.LeadTime.P90, r.ChangeLeadTime.P90Seconds)

	assert.Equal(t, want.Frequency.N, r.DeploymentFrequency.N)
	equalFigure(t, h.Seed, "per day", want.Frequency.PerDay, r.DeploymentFrequency.PerDay)
	equalFigure(t, h.Seed, "days per week", want.Frequency.DaysPerWeek, r.DeploymentFrequency.DaysPerWeek)

	equalRate(t, h.Seed, "change fail rate", want.FailRate, r.ChangeFailRate)
	equalRate(t, h.Seed, "rework rate", want.ReworkRate, r.DeploymentReworkRate)

	assert.Equal(t, want.Recovery.N, r.FailedDeploymentRecoveryTime.N, "history %d: recovered", h.Seed)
	equalFigure(t, h.Seed, "recovery", want.Recovery.Median, r.FailedDeploymentRecoveryTime.MedianSeconds)
	equalIDs(t, h.Seed, "unresolved", want.Recovery.Unresolved, r.FailedDeploymentRecoveryTime.Unresolved)
}

func equalFigure(t *testing.T, seed int, name string, want, got *float64) {
	t.Helper()
	if want == nil || got == nil {
		assert.Equal(t, want, got, "history %d: %s: absent on both sides", seed, name)
		return
	}
	assert.InDelta(t, *want, *got, 1e-6, "history %d: %s", seed, name)
}

func equalRate(t *testing.T, seed int, name string, want referenceRate, got dora.Rate) {
	t.Helper()
	assert.Equal(t, want.N, got.N, "history %d: %s", seed, name)
	equalIDs(t, seed, name, want.Of, got.Deployments)
	equalFigure(t, seed, name, want.Rate, got.Rate)
}

func equalIDs(t *testing.T, seed int, name string, want, got []string) {
	t.Helper()
	assert.ElementsMatch(t, want, got, "history %d: %s", seed, name)
}

func runIDs(runs []deployments.Run) (ids []string) {
	for _, r := range runs {
		ids = append(ids, r.DeploymentID)
	}
	return ids
}
