package ledgertest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// orderChecks test deliveries that overtake each other.
func orderChecks() []check {
	return []check{
		{"stale status never overwrites a newer one", stale},
		{"every transition", transitions},
		{"later outcome of a pipeline that ran again counts", ranAgain},
	}
}

func stale(e *env) {
	d := success("a", 'a', 0, 5)
	d.TriggeredBy = "dana"
	done := e.record(d)
	late := deployment("a", payload.StatusInProgress, commit('b'), 0, 0)
	late.Branch = "main"
	r := e.record(late)
	require.True(e, r.Stale)
	require.False(e, r.Created)
	require.Equal(e, payload.Stale, r.Transition)
	require.Equal(e, &r.Record, e.get("a"))
	require.Len(e, r.Reports, 2, "what the metrics need of it is kept")
	r.Reports = done.Reports
	require.Equal(e, done.Record, r.Record, "the record is returned without changes of the stale delivery")
}

// transitions compares the ledger with Status.Transition. All outcomes have the
// same completion time.
func transitions(e *env) {
	all := []payload.Status{
		payload.StatusPending, payload.StatusInProgress, payload.StatusSuccess, payload.StatusFailure, payload.StatusCancelled, payload.StatusRolledBack,
	}
	for _, from := range all {
		for _, to := range all {
			id := fmt.Sprintf("%s-%s", from, to)
			e.record(deployment(id, from, commit('a'), 0, 5))
			r := e.record(deployment(id, to, commit('a'), 0, 5))
			transition := from.Transition(to)
			moves := transition == payload.Legal || transition == payload.Repeated
			require.Equal(e, transition, r.Transition, id)
			require.Equal(e, !moves, r.Stale, id)
			want := from
			if moves {
				want = to
			}
			require.Equal(e, want, e.get(id).Deployment.Status, id)
		}
	}
}

func ranAgain(e *env) {
	failed := deployment("a", payload.StatusFailure, commit('a'), 0, 5)
	again := deployment("a", payload.StatusSuccess, commit('a'), 20, 25)
	for name, order := range map[string][]*payload.Deployment{
		"in order":  {failed, deployment("a", payload.StatusInProgress, commit('a'), 20, 0), again, failed},
		"overtaken": {again, failed, again},
	} {
		for _, d := range order {
			copied := *d
			copied.DeploymentID = name
			e.record(&copied)
		}
		d := e.get(name).Deployment
		require.Equal(e, payload.StatusSuccess, d.Status, name)
		require.Equal(e, at(25), d.CompletedAt, name)
	}
	require.Equal(e, at(20), e.get("in order").Deployment.StartedAt, "the second run has its own start")
	// A rollback is final even then.
	e.record(deployment("b", payload.StatusRolledBack, commit('a'), 0, 30))
	require.True(e, e.record(deployment("b", payload.StatusSuccess, commit('a'), 0, 60)).Stale)
}
