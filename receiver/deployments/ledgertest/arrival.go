package ledgertest

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// arrivalChecks test that records do not depend on the order in which
// deliveries arrive.
func arrivalChecks() []check {
	return []check{
		{"a late success corrects unsuccessful deployments", lateSuccess},
		{"a late rollback changes only later deployments", lateRollback},
		{"a success that arrives after its rollback sets its time", successAfterRollback},
		{"every order of arrival gives the same records", everyOrder},
	}
}

func lateSuccess(e *env) {
	others := []payload.Status{payload.StatusPending, payload.StatusInProgress, payload.StatusFailure, payload.StatusCancelled, payload.StatusRolledBack}
	for i, status := range others {
		e.record(deployment(fmt.Sprint("other-", i), status, commit('o'), 10+i, 20))
	}
	e.record(success("next", 'n', 30, 35))
	e.record(deployment("later", payload.StatusFailure, commit('l'), 40, 45))
	r := e.record(success("a", 'a', 0, 5)) // recorded last
	for i := range others {
		e.previous(fmt.Sprint("other-", i), commit('a'), "it was live when this one started")
	}
	e.previous("next", commit('a'), "")
	e.previous("later", commit('n'), "nothing changes after the next success")
	require.Len(e, r.Shifted, len(others)+1)
	e.record(success("a", 'b', 0, 5))
	e.previous("other-2", commit('b'), "a corrected commit")
	e.record(success("a", 'b', 0, 12))
	e.previous("other-0", "", "a corrected time")
	e.previous("other-2", commit('b'), "")
}

func lateRollback(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 10, 15))
	e.record(deployment("during", payload.StatusFailure, commit('d'), 18, 19))
	e.record(deployment("failed", payload.StatusFailure, commit('f'), 25, 26))
	e.record(success("c", 'c', 30, 35))
	r := e.record(deployment("b", payload.StatusRolledBack, commit('b'), 10, 20)) // recorded last
	require.Equal(e, at(15), r.SucceededAt)
	e.previous("during", commit('b'), "it was live then")
	e.previous("failed", commit('a'), "a was live again")
	e.previous("c", commit('a'), "")
	e.previous("b", commit('a'), "what it replaced")
	require.Len(e, r.Shifted, 2)
	e.record(success("between", 'x', 16, 17))
	e.previous("between", commit('b'), "b was live then and rolled back later")
}

func successAfterRollback(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("quick", 'q', 11, 13))
	e.record(deployment("b", payload.StatusRolledBack, commit('b'), 10, 20))
	e.record(deployment("during", payload.StatusFailure, commit('d'), 18, 19))
	e.previous("during", commit('q'), "b is not known to have been live")
	e.previous("b", commit('a'), "it started before quick")
	r := e.record(success("b", 'b', 10, 15)) // recorded last
	require.True(e, r.Stale)
	require.Equal(e, payload.StatusRolledBack, r.Deployment.Status)
	require.Equal(e, at(20), r.Deployment.CompletedAt)
	require.Equal(e, at(15), r.SucceededAt)
	require.Equal(e, e.get("b"), &r.Record)
	e.previous("during", commit('b'), "")
	e.previous("b", commit('q'), "it succeeded after quick")
	require.Empty(e, e.record(success("b", 'b', 10, 15)).Shifted, "a retry changes nothing")
}

// everyOrder records the same deliveries in many orders, each in its own
// organization.
func everyOrder(e *env) {
	deliveries := []*payload.Deployment{
		success("a", 'a', 0, 5),
		deployment("b", payload.StatusFailure, commit('b'), 10, 12),
		success("c", 'c', 20, 25),
		deployment("c", payload.StatusRolledBack, commit('c'), 20, 40),
		success("d", 'd', 25, 25),
		deployment("e", payload.StatusInProgress, commit('e'), 39, 0),
		success("f", 'f', 50, 55),
	}
	want := map[string]string{"a": "", "b": commit('a'), "c": commit('a'), "d": commit('c'), "e": commit('d'), "f": commit('d')}
	rounds := 0
	for i, order := range permutations(len(deliveries)) {
		if i%84 != 0 { // keep 60 of the 5,040 orders
			continue
		}
		rounds++
		org := fmt.Sprint(e.org, "-", i)
		for _, k := range order {
			e.recordFor(org, deliveries[k])
		}
		for id, previous := range want {
			r, err := e.ledger.Get(e.ctx, org, id)
			require.NoError(e, err)
			require.Equal(e, previous, r.Deployment.PreviousCommitSHA, "%s in the order %v", id, order)
			if id == "c" {
				require.Equal(e, at(25), r.SucceededAt, "order %v", order)
				require.Equal(e, payload.StatusRolledBack, r.Deployment.Status)
			}
		}
		all, err := e.ledger.List(e.ctx, org, deployments.Filter{}, deployments.Page{})
		require.NoError(e, err)
		require.Len(e, all.Items, len(want))
	}
	require.Equal(e, 60, rounds)
}

// permutations returns all orders of the numbers below n.
func permutations(n int) [][]int {
	if n == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for _, shorter := range permutations(n - 1) {
		for i := range n {
			all = append(all, slices.Insert(slices.Clone(shorter), i, n-1))
		}
	}
	return all
}
