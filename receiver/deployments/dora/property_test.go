package dora_test

import (
	"encoding/json"
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
