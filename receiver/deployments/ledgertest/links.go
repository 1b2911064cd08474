package ledgertest

import (
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// linkChecks test the number of pull requests.
func linkChecks() []check {
	return []check{
		{"number of pull requests is kept", numberKept},
		{"zero pull requests are stored", numberZero},
		{"changed commits reset the number", numberVoid},
		{"number for changed commits is not stored", numberLate},
		{"number for an unrecorded deployment is an error", numberUnknown},
	}
}

func numberKept(e *env) {
	r := e.record(success("a", 'a', 0, 5))
	require.NoError(e, e.ledger.SetLinked(e.ctx, r.Link(e.org), 3))
	r.Linked, r.LinkedPRs = true, 3
	require.Equal(e, &r.Record, e.get("a"))
	again := success("a", 'a', 0, 5)
	again.Branch = "main"
	updated := e.record(again)
	require.True(e, updated.Linked && updated.LinkedPRs == 3, "an update that leaves the commits alone keeps the number")
	late := e.record(deployment("a", payload.StatusPending, commit('a'), 0, 0))
	require.True(e, late.Linked && late.LinkedPRs == 3, "a stale delivery returns the recorded number")
	back := e.record(deployment("a", payload.StatusRolledBack, commit('a'), 0, 9))
	require.True(e, back.Linked && back.LinkedPRs == 3, "a rollback keeps the number")
	require.NoError(e, e.ledger.SetLinked(e.ctx, r.Link(e.org), 4))
	require.Equal(e, 4, e.get("a").LinkedPRs)
}

func numberZero(e *env) {
	r := e.record(success("a", 'a', 0, 5))
	require.NoError(e, e.ledger.SetLinked(e.ctx, r.Link(e.org), 0))
	require.True(e, e.get("a").Linked)
	require.Zero(e, e.get("a").LinkedPRs)
}

func numberVoid(e *env) {
	for name, change := range map[string]func(*payload.Deployment){
		"commit":      func(d *payload.Deployment) { d.CommitSHA = commit('b') },
		"previous":    func(d *payload.Deployment) { d.PreviousCommitSHA = commit('c') },
		"service":     func(d *payload.Deployment) { d.Service = "other" },
		"environment": func(d *payload.Deployment) { d.Environment = "staging" },
		"repository":  func(d *payload.Deployment) { d.RepositoryURL = repository("x") },
		"further":     func(d *payload.Deployment) { d.Commits = further("web", 'w') },
	} {
		d := success(name, 'a', 0, 5)
		d.PreviousCommitSHA = commit('p')
		r := e.record(d)
		require.NoError(e, e.ledger.SetLinked(e.ctx, r.Link(e.org), 3))
		change(d)
		r = e.record(d)
		require.False(e, r.Linked, name)
		require.Zero(e, r.LinkedPRs, name)
		require.Equal(e, &r.Record, e.get(name))
	}
}

func numberLate(e *env) {
	old := e.record(success("a", 'a', 0, 5))
	e.record(success("a", 'b', 0, 5))
	require.NoError(e, e.ledger.SetLinked(e.ctx, old.Link(e.org), 3))
	require.False(e, e.get("a").Linked, "the number was counted for another commit")
	require.Zero(e, e.get("a").LinkedPRs)
}

func numberUnknown(e *env) {
	r := e.record(success("a", 'a', 0, 5))
	link := r.Link(e.org)
	link.DeploymentID = "b"
	require.ErrorIs(e, e.ledger.SetLinked(e.ctx, link, 3), deployments.ErrNotRecorded)
	require.ErrorIs(e, e.ledger.SetLinked(e.ctx, r.Link(e.org+"2"), 3), deployments.ErrNotRecorded, "another organization's record")
	require.False(e, e.get("a").Linked)
}
