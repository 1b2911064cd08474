package ledgertest

import (
	"errors"
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// timelineChecks test what pages read about a service and environment.
func timelineChecks() []check {
	return []check{
		{"the timeline is in the order of positions, page by page", timelinePages},
		{"what was live at a time", liveAtTimes},
		{"a page of another list is refused", timelineCursors},
	}
}

func timelinePages(e *env) {
	const n = 25
	for _, i := range []int{7, 3, 11} { // not in the order of arrival
		for k := range n {
			if k%12 == i%12 || i == 11 && k%12 != 7 && k%12 != 3 {
				e.record(success(fmt.Sprintf("d%02d", k), 'a', k, k+1))
			}
		}
	}
	other := success("elsewhere", 'b', 5, 6)
	other.Environment = "staging"
	e.record(other)
	var all []string
	page := deployments.Page{Limit: 10}
	for {
		list, err := e.other.Latest(e.ctx, e.org, api(), page)
		require.NoError(e, err)
		for _, r := range list.Items {
			all = append(all, r.Deployment.DeploymentID)
		}
		if page.Cursor = list.Next; page.Cursor == "" {
			break
		}
	}
	var want []string
	for k := range n {
		want = append(want, fmt.Sprintf("d%02d", n-1-k))
	}
	require.Equal(e, want, all)
	none, err := e.ledger.Latest(e.ctx, e.org+"-other", api(), deployments.Page{})
	require.NoError(e, err)
	require.Empty(e, none.Items, "another organization")
}

func liveAtTimes(e *env) {
	e.record(success("a", 'a', 0, 10))
	e.record(success("b", 'b', 11, 20))
	e.record(deployment("b", payload.StatusRolledBack, commit('b'), 11, 30))
	e.record(deployment("c", payload.StatusFailure, commit('c'), 31, 40))
	e.record(deployment("d", payload.StatusInProgress, commit('d'), 41, 0))
	for minute, want := range map[int]string{9: "", 10: "a", 19: "a", 20: "b", 29: "b", 30: "a", 100: "a"} {
		r, err := e.other.Live(e.ctx, e.org, api(), at(minute))
		if want == "" {
			require.ErrorIs(e, err, deployments.ErrNotRecorded)
			continue
		}
		require.NoError(e, err, "minute %d", minute)
		require.Equal(e, want, r.Deployment.DeploymentID, "minute %d", minute)
	}
	_, err := e.ledger.Live(e.ctx, e.org, deployments.Scope{Service: "api"}, at(100))
	require.ErrorIs(e, err, deployments.ErrNotRecorded)
	_, err = e.ledger.Live(e.ctx, e.org+"-other", api(), at(100))
	require.ErrorIs(e, err, deployments.ErrNotRecorded)
}

func timelineCursors(e *env) {
	for _, page := range []deployments.Page{{Cursor: "nonsense"}, {Cursor: "MTIz"}, {Limit: -1}, {Limit: deployments.MaxPageLimit + 1}} {
		_, err := e.ledger.Latest(e.ctx, e.org, api(), page)
		require.True(e, errors.Is(err, deployments.ErrInvalid), "%+v: %v", page, err)
	}
}
