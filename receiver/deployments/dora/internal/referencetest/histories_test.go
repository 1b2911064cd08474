package referencetest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

func text(t *testing.T, r *dora.Report) string {
	t.Helper()
	out, err := json.Marshal(r)
	require.NoError(t, err)
	return string(out)
}

// Whole histories arrive in random orders, some deliveries twice. The whole
// report is the same, evidence included.
func TestCompute_RandomOrdersOfHistories(t *testing.T) {
	t.Parallel()
	for _, h := range readHistories(t) {
		want := ""
		for round := range 6 {
			rng := rand.New(rand.NewPCG(uint64(h.Seed), uint64(round)))
			w := newWorld(t)
			var arrivals []func()
			for _, d := range h.Deliveries {
				arrivals = append(arrivals, func() { w.record(d) })
			}
			for _, i := range h.Incidents {
				arrivals = append(arrivals, func() { w.incident(i) })
			}
			for range len(arrivals) / 4 {
				arrivals = append(arrivals, arrivals[rng.IntN(len(arrivals))])
			}
			rng.Shuffle(len(arrivals), func(i, k int) { arrivals[i], arrivals[k] = arrivals[k], arrivals[i] })
			for _, arrive := range arrivals {
				arrive()
			}
			r := w.report(window(t, h.Zone, h.From, h.To), dora.WithCommits(h.Repositories))
			if want == "" {
				want = text(t, r)
			}
			require.Equal(t, want, text(t, r), "history %d, round %d", h.Seed, round)
			requireBounds(t, fmt.Sprint("history ", h.Seed), r)
		}
	}
}

// requireBounds checks that each figure, of the window and of each week, is in
// its possible range.
func requireBounds(t *testing.T, name string, r *dora.Report) {
	t.Helper()
	deployed := 0
	check := func(f dora.Figures) {
		for _, rate := range []dora.Rate{f.ChangeFailRate, f.DeploymentReworkRate} {
			require.Equal(t, rate.N > 0, rate.Rate != nil, name)
			if rate.Rate != nil {
				require.InDelta(t, 0.5, *rate.Rate, 0.5, name)
			}
			require.Equal(t, f.DeploymentFrequency.N, rate.N, name)
		}
		for _, d := range []struct {
			n       int
			seconds *float64
		}{
			{f.ChangeLeadTime.N, f.ChangeLeadTime.MedianSeconds},
			{f.ChangeLeadTime.N, f.ChangeLeadTime.P90Seconds},
			{f.FailedDeploymentRecoveryTime.N, f.FailedDeploymentRecoveryTime.MedianSeconds},
		} {
			require.Equal(t, d.n > 0, d.seconds != nil, name)
			if d.seconds != nil {
				require.GreaterOrEqual(t, *d.seconds, 0.0, name)
			}
		}
		if f.ChangeLeadTime.N > 0 {
			require.LessOrEqual(t, *f.ChangeLeadTime.MedianSeconds, *f.ChangeLeadTime.P90Seconds, name)
		}
		if per := f.DeploymentFrequency.DaysPerWeek; per != nil {
			require.InDelta(t, 3.5, *per, 3.5, name)
		}
		failed := len(f.FailedDeploymentRecoveryTime.Unresolved) + f.FailedDeploymentRecoveryTime.N
		for _, n := range f.FailedDeploymentRecoveryTime.LeftOut {
			failed += n
		}
		require.Equal(t, len(f.ChangeFailRate.Deployments), failed, "%s: each failure is resolved, unresolved or left out", name)
	}
	check(r.Figures)
	for _, w := range r.Weeks {
		check(w.Figures)
		deployed += w.DeploymentFrequency.N
	}
	require.Equal(t, r.DeploymentFrequency.N, deployed, "%s: each deployment is in one week", name)
	require.Len(t, r.Deployments, deployed, name)
}

// While a history arrives in a random order, one calculator gives the same
// reports as a new computation, also for windows that move back and forth.
func TestCalculator_EqualsCompute(t *testing.T) {
	t.Parallel()
	for _, h := range readHistories(t) {
		rng := rand.New(rand.NewPCG(uint64(h.Seed), 7))
		w := newWorld(t)
		c, err := dora.New(w.ledger, dora.WithCommits(h.Repositories))
		require.NoError(t, err)
		for _, k := range rng.Perm(len(h.Deliveries)) {
			w.record(h.Deliveries[k])
			first := time.Date(2026, 2, 18+rng.IntN(40), 0, 0, 0, 0, time.UTC)
			span := window(t, h.Zone, first.Format(time.DateOnly), first.AddDate(0, 0, 1+rng.IntN(60)).Format(time.DateOnly))
			r, err := c.Report(t.Context(), org, api, span)
			require.NoError(t, err)
			require.Equal(t, text(t, w.report(span, dora.WithCommits(h.Repositories))), text(t, r), "history %d", h.Seed)
		}
	}
}
