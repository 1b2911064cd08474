package ledgertest

import (
	"fmt"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// readChecks test Get and List.
func readChecks() []check {
	return []check{
		{"organizations do not see each other", isolation},
		{"list filters", filters},
		{"list pages", pages},
		{"list of unlinked deployments", unlinkedList},
	}
}

func isolation(e *env) {
	// Each pair gives the same text if it is joined without the lengths.
	pairs := [][2]string{{"acme", "x:1"}, {"acme:x", "1"}, {"acm", "ex:1"}, {"ACME", "x:1"}, {"acme ", "x:1"}}
	for i, pair := range pairs {
		d := success(pair[1], byte('a'+i), 0, 5)
		r := e.recordFor(e.org+pair[0], d)
		require.True(e, r.Created, "%q", pair)
		require.EqualValues(e, 1, r.ID, "another organization's records must be invisible, even in the numbers")
	}
	for i, pair := range pairs {
		r, err := e.ledger.Get(e.ctx, e.org+pair[0], pair[1])
		require.NoError(e, err)
		require.Equal(e, commit(byte('a'+i)), r.Deployment.CommitSHA)
		all, err := e.ledger.List(e.ctx, e.org+pair[0], deployments.Filter{}, deployments.Page{})
		require.NoError(e, err)
		require.Len(e, all.Items, 1)
	}
	_, err := e.ledger.Get(e.ctx, e.org, "x:1")
	require.ErrorIs(e, err, deployments.ErrNotRecorded)
	none, err := e.ledger.List(e.ctx, e.org, deployments.Filter{}, deployments.Page{})
	require.NoError(e, err)
	require.Empty(e, none.Items)
}

func (e *env) list(f deployments.Filter) []string {
	e.Helper()
	page, err := e.ledger.List(e.ctx, e.org, f, deployments.Page{Limit: deployments.MaxPageLimit})
	require.NoError(e, err)
	ids := []string{}
	for _, r := range page.Items {
		require.Equal(e, e.get(r.Deployment.DeploymentID), &r)
		ids = append(ids, r.Deployment.DeploymentID)
	}
	return ids
}

func filters(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(deployment("b", payload.StatusFailure, commit('b'), 10, 15))
	web := success("c", 'c', 20, 25)
	web.Service = "web"
	e.record(web)
	staging := success("d", 'd', 30, 35)
	staging.Environment = "staging"
	e.record(staging)

	require.Equal(e, []string{"d", "c", "b", "a"}, e.list(deployments.Filter{}))
	require.Equal(e, []string{"d", "b", "a"}, e.list(deployments.Filter{Service: "api"}))
	require.Equal(e, []string{"c", "b", "a"}, e.list(deployments.Filter{Environment: "production"}))
	require.Equal(e, []string{"b"}, e.list(deployments.Filter{Status: payload.StatusFailure}))
	require.Equal(e, []string{"d", "c"}, e.list(deployments.Filter{Since: at(20)}))
	require.Equal(e, []string{"a"}, e.list(deployments.Filter{
		Service: "api", Environment: "production", Status: payload.StatusSuccess,
	}))
	require.Empty(e, e.list(deployments.Filter{Service: "none"}))
	_, err := e.ledger.List(e.ctx, e.org, deployments.Filter{Status: "succeeded"}, deployments.Page{})
	require.ErrorIs(e, err, deployments.ErrInvalid, "no deployment has this status, see Filter.Validate")
}

func pages(e *env) {
	const records = 25
	for i := range records {
		e.record(success(fmt.Sprint(i), 'a', i, i+1))
	}
	var seen []string
	p := deployments.Page{Limit: 10}
	for i := range 2 * records { // bounded, for a ledger that ignores Cursor
		page, err := e.ledger.List(e.ctx, e.org, deployments.Filter{}, p)
		require.NoError(e, err)
		require.LessOrEqual(e, len(page.Items), 10)
		for _, r := range page.Items {
			seen = append(seen, r.Deployment.DeploymentID)
		}
		if p.Cursor = page.Next; p.Cursor == "" {
			break
		}
		// must not appear on later pages
		e.record(success(fmt.Sprint("new-", i), 'a', 100, 101))
	}
	require.Len(e, seen, records)
	for i, id := range seen {
		require.Equal(e, fmt.Sprint(records-1-i), id)
	}
	require.Len(e, e.list(deployments.Filter{}), records+2)
	exact, err := e.ledger.List(e.ctx, e.org, deployments.Filter{}, deployments.Page{Limit: records + 2})
	require.NoError(e, err)
	require.Empty(e, exact.Next, "a full page that is the last has no next one")
	for _, p := range []deployments.Page{{Limit: -1}, {Limit: deployments.MaxPageLimit + 1}, {Cursor: "?"}, {Cursor: "LTE"}} {
		_, err := e.ledger.List(e.ctx, e.org, deployments.Filter{}, p)
		require.ErrorIs(e, err, deployments.ErrInvalid)
	}
}

func unlinkedList(e *env) {
	a := e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 10, 15))
	e.record(deployment("c", payload.StatusFailure, commit('c'), 20, 25))
	require.NoError(e, e.ledger.SetLinked(e.ctx, a.Link(e.org), 0))
	require.Equal(e, []string{"b"}, e.list(deployments.Filter{Unlinked: true, Environment: "production"}))
}
