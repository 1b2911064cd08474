package ledgertest

import (
	"fmt"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// historyChecks test the data that metrics are computed from.
func historyChecks() []check {
	return []check{
		{"every order of a deployment's statuses gives the same run", everyStatusOrder},
		{"a stale delivery adds members that no other one has", staleFillsIn},
		{"reports of a deployment are bounded", boundedReports},
		{"runs are in order and within the window", runWindow},
		{"scopes are those that have deployments", scopes},
		{"every order of an incident's deliveries gives the same incident", everyIncidentOrder},
		{"other organizations do not see incidents", incidentIsolation},
	}
}

func (e *env) runs(org string, s deployments.Scope, from, to time.Time) []deployments.Run {
	e.Helper()
	var all []deployments.Run
	for r, err := range e.ledger.Runs(e.ctx, org, s, from, to) {
		require.NoError(e, err)
		all = append(all, r)
	}
	return all
}

// api is the scope of most deployments in the suite.
func api() deployments.Scope { return deployments.Scope{Service: "api", Environment: "production"} }

// everyStatusOrder records the four statuses of one deployment in all 24
// orders.
func everyStatusOrder(e *env) {
	deliveries := []*payload.Deployment{
		deployment("a", payload.StatusPending, commit('a'), 0, 0),
		deployment("a", payload.StatusInProgress, commit('a'), 1, 0),
		success("a", 'a', 1, 5),
		deployment("a", payload.StatusRolledBack, commit('a'), 1, 20),
	}
	deliveries[0].Branch, deliveries[1].Version = "main", "2.1.0"
	deliveries[2].RepositoryURL, deliveries[3].IncidentURL = "https://git.example/acme/api", "https://acme.example/7"
	want := deployments.Run{
		DeploymentID: "a", Scope: api(), Commit: commit('a'), Status: payload.StatusRolledBack, Branch: "main", Version: "2.1.0",
		RepositoryURL: "https://git.example/acme/api", IncidentURL: "https://acme.example/7",
		StartedAt: at(0), LiveAt: at(5), RolledBackAt: at(20), EndedAt: at(20),
	}
	orders := permutations(len(deliveries))
	require.Len(e, orders, 24)
	for i, order := range orders {
		org := fmt.Sprint(e.org, "-", i)
		for _, k := range order {
			e.recordFor(org, deliveries[k])
			e.recordFor(org, deliveries[k])
		}
		require.Equal(e, []deployments.Run{want}, e.runs(org, api(), time.Time{}, time.Time{}), "order %v", order)
		r, err := e.ledger.Get(e.ctx, org, "a")
		require.NoError(e, err)
		require.Len(e, r.Reports, 4)
		for k, report := range r.Reports {
			require.Equal(e, deliveries[k].Status, report.Status, "ordered by the times in the reports")
		}
		require.Equal(e, want, r.Run())
	}
}

func staleFillsIn(e *env) {
	done := success("a", 'a', 0, 5)
	done.Service = ""
	e.record(done)
	require.Len(e, e.runs(e.org, deployments.Scope{Environment: "production"}, time.Time{}, time.Time{}), 1)
	r := e.record(deployment("a", payload.StatusPending, commit('a'), 0, 0)) // it has the service
	require.True(e, r.Stale)
	require.Empty(e, r.Deployment.Service, "the record itself does not change")
	require.Empty(e, e.runs(e.org, deployments.Scope{Environment: "production"}, time.Time{}, time.Time{}))
	require.Len(e, e.runs(e.org, api(), time.Time{}, time.Time{}), 1)
}

func boundedReports(e *env) {
	for i := range 20 {
		e.record(deployment("a", payload.StatusInProgress, commit('a'), (i*7)%20, 0))
		e.record(success("a", 'a', 0, 30+(i*7)%20))
	}
	r := e.get("a")
	require.Len(e, r.Reports, 4, "the earliest and the latest report of each status")
	require.Equal(e, at(0), r.Reports[0].StartedAt)
	require.Equal(e, at(19), r.Reports[1].StartedAt)
	require.Equal(e, at(30), r.Reports[2].CompletedAt)
	require.Equal(e, at(49), r.Reports[3].CompletedAt)
	require.Equal(e, at(30), r.Run().LiveAt, "it went live once, with the first success")
}

func runWindow(e *env) {
	for i := range 30 { // recorded in another order than that of the times
		k := i * 11 % 30
		e.record(success(fmt.Sprintf("d%02d", k), 'a', k/2, 10+k/2)) // two with the same time
	}
	e.record(deployment("failed", payload.StatusFailure, commit('f'), 0, 12))
	e.record(deployment("open", payload.StatusInProgress, commit('o'), 13, 0))
	other := success("other", 'x', 0, 12)
	other.Service = "web"
	e.record(other)
	ids := func(from, to time.Time) (ids []string) {
		for _, r := range e.runs(e.org, api(), from, to) {
			ids = append(ids, r.DeploymentID)
		}
		return ids
	}
	require.Equal(e, []string{"d04", "d05", "failed", "d06", "d07", "open"}, ids(at(12), at(14)), "half-open")
	require.Len(e, ids(time.Time{}, time.Time{}), 32)
	require.Len(e, ids(at(24), time.Time{}), 2)
	require.Empty(e, ids(at(25), time.Time{}))
	for range e.ledger.Runs(e.ctx, e.org, api(), time.Time{}, time.Time{}) {
		break // the iterator must stop
	}
	for _, err := range e.ledger.Runs(e.ctx, "", api(), time.Time{}, time.Time{}) {
		require.ErrorIs(e, err, deployments.ErrNoOrganization)
	}
}

func scopes(e *env) {
	none, err := e.ledger.Scopes(e.ctx, e.org)
	require.NoError(e, err)
	require.Empty(e, none)
	e.record(success("a", 'a', 0, 5))
	web := success("b", 'b', 0, 5)
	web.Service = "web"
	e.record(web)
	staging := success("c", 'c', 0, 5)
	staging.Environment = "staging"
	e.record(staging)
	e.recordFor(e.org+"2", success("d", 'd', 0, 5))
	all, err := e.ledger.Scopes(e.ctx, e.org)
	require.NoError(e, err)
	want := []deployments.Scope{api(), {Service: "api", Environment: "staging"}, {Service: "web", Environment: "production"}}
	require.Equal(e, want, all)
	// The earlier success has another service, so the old scope becomes empty.
	moved := success("b", 'b', 0, 4)
	moved.Service = "shop"
	e.record(moved)
	want[2].Service = "shop"
	all, err = e.ledger.Scopes(e.ctx, e.org)
	require.NoError(e, err)
	require.Equal(e, want, all)
}

func incident(id string, opened, resolved int) *payload.Incident {
	i := &payload.Incident{IncidentID: id, OpenedAt: at(opened)}
	if resolved > 0 {
		i.ResolvedAt = at(resolved)
	}
	return i
}

func (e *env) incidents(org string) (all []payload.Incident) {
	e.Helper()
	for i, err := range e.ledger.Incidents(e.ctx, org) {
		require.NoError(e, err)
		all = append(all, i)
	}
	return all
}

func everyIncidentOrder(e *env) {
	first := incident("7", 0, 0)
	first.Service, first.Title, first.URL = "api", "slow", "https://acme.example/7"
	second := incident("7", 1, 0)
	second.UpdatedAt, second.Service, second.Title = at(3), "web", "slow answers"
	require.NoError(e, second.Extra.UnmarshalJSON([]byte(`{"severity":1.0}`)))
	third := incident("7", 1, 10)
	third.DeploymentID = "a"
	deliveries := []*payload.Incident{first, second, third}
	want := payload.Incident{
		IncidentID: "7", OpenedAt: at(1), ResolvedAt: at(10), UpdatedAt: at(3), Service: "web", DeploymentID: "a",
		URL: "https://acme.example/7", Title: "slow answers", Extra: second.Extra,
	}
	for i, order := range permutations(len(deliveries)) {
		org := fmt.Sprint(e.org, "-", i)
		for n, k := range order {
			r, err := e.ledger.RecordIncident(e.ctx, org, deliveries[k])
			require.NoError(e, err)
			require.Equal(e, n == 0, r.Created)
			r, err = e.ledger.RecordIncident(e.ctx, org, deliveries[k])
			require.NoError(e, err)
			require.False(e, r.Created || r.Changed, "a retry changes nothing")
		}
		require.Equal(e, []payload.Incident{want}, e.incidents(org), "order %v", order)
	}
	// It is reopened, because its newest openedAt is after its resolvedAt.
	_, err := e.ledger.RecordIncident(e.ctx, e.org, third)
	require.NoError(e, err)
	_, err = e.ledger.RecordIncident(e.ctx, e.org, incident("7", 20, 0))
	require.NoError(e, err)
	require.Zero(e, e.incidents(e.org)[0].ResolvedAt)
}

func incidentIsolation(e *env) {
	for i, id := range []string{"c", "b", "a"} {
		_, err := e.ledger.RecordIncident(e.ctx, e.org, incident(id, i, 0))
		require.NoError(e, err)
	}
	var ids []string
	for _, i := range e.incidents(e.org) {
		ids = append(ids, i.IncidentID)
	}
	require.Equal(e, []string{"c", "b", "a"}, ids, "ordered by openedAt")
	require.Empty(e, e.incidents(e.org+"2"))
	require.Empty(e, e.runs(e.org, api(), time.Time{}, time.Time{}))
	_, err := e.ledger.RecordIncident(e.ctx, "", incident("d", 0, 0))
	require.ErrorIs(e, err, deployments.ErrNoOrganization)
	_, err = e.ledger.RecordIncident(e.ctx, e.org, &payload.Incident{IncidentID: "d"})
	require.ErrorIs(e, err, payload.ErrInvalid)
	require.Len(e, e.incidents(e.org), 3)
	r := e.record(success("a", 'a', 0, 5))
	require.EqualValues(e, 1, r.ID, "incidents have no numbers")
}
