package dora_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
)

func text(t *testing.T, r *dora.Report) string {
	t.Helper()
	out, err := json.Marshal(r)
	require.NoError(t, err)
	return string(out)
}

// The statuses of one deployment arrive in each of the 24 orders, after and
// between others.
func TestCompute_EveryOrderOfOneDeployment(t *testing.T) {
	t.Parallel()
	statuses := []payload.Status{payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess, payload.StatusRolledBack}
	want := ""
	rounds := 0
	for order := range orders(statuses) {
		w := newWorld(t)
		w.record(live("a", sha("1"), clock(t, "09:00")))
		for i, s := range order {
			d := live("b", sha("2"), clock(t, "10:00"))
			d.Status = s
			if s == payload.StatusRolledBack {
				d.CompletedAt = clock(t, "10:30")
			}
			w.record(d)
			if i == 1 {
				w.record(live("c", sha("3"), clock(t, "12:00")))
			}
		}
		r := w.report(week(t))
		require.Equal(t, []string{"b"}, failedIDs(r))
		require.InDelta(t, 1800, *r.FailedDeploymentRecoveryTime.MedianSeconds, 0)
		if want == "" {
			want = text(t, r)
		}
		require.Equal(t, want, text(t, r), "order %v", order)
		rounds++
	}
	require.Equal(t, 24, rounds)
}

// orders yields all permutations.
func orders[T any](list []T) func(yield func([]T) bool) {
	return func(yield func([]T) bool) {
		var permute func(k int) bool
		list := slices.Clone(list)
		permute = func(k int) bool {
			if k == len(list) {
				return yield(slices.Clone(list))
			}
			for i := k; i < len(list); i++ {
				list[k], list[i] = list[i], list[k]
				if !permute(k + 1) {
					return false
				}
				list[k], list[i] = list[i], list[k]
			}
			return true
		}
		permute(0)
	}
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
