package ledgertest

import (
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

// previousChecks test the previous commit, which the ledger fills in if the
// sender gave none.
func previousChecks() []check {
	return []check{
		{"previous commit is that of the last success", lastSuccess},
		{"previous commit is of the same service and environment", sameScope},
		{"previous commit that was given stays", givenStays},
		{"previous commit depends on completion, not on start", byCompletion},
		{"a late deployment corrects the previous commit of the next", lateArrival},
		{"after a rollback the previous commit is the restored one", rollback},
		{"a success followed by a later failure no longer counts", superseded},
		{"a corrected commit updates the next deployment", corrected},
		{"a corrected time moves the deployment", moved},
		{"each repository has a previous commit of its own", severalRepositories},
		{"a corrected commit of a repository updates the next deployment", correctedRepository},
		{"a deployment of another repository has no previous commit", otherRepository},
		{"deployments that completed at the same time are in the order of their IDs", sameTime},
	}
}

func lastSuccess(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.previous("a", "", "no deployment came before")
	for i, status := range []payload.Status{
		payload.StatusPending, payload.StatusInProgress, payload.StatusFailure, payload.StatusCancelled, payload.StatusRolledBack,
	} {
		id := fmt.Sprint("other-", i)
		e.record(deployment(id, status, commit(byte('m'+i)), 10+i, 11+i))
		e.previous(id, commit('a'), "only successful deployments were live")
	}
	r := e.record(success("b", 'b', 20, 25))
	require.Equal(e, commit('a'), r.Deployment.PreviousCommitSHA)
	require.False(e, r.PreviousGiven)
	e.record(success("b", 'b', 20, 25))
	e.previous("b", commit('a'), "never its own commit, not even after a repeated delivery")
	e.record(success("c", 'c', 30, 35))
	e.previous("c", commit('b'), "the last one")
}

func sameScope(e *env) {
	e.record(success("a", 'a', 0, 5))
	other := success("b", 'b', 10, 15)
	other.Service = "web"
	e.record(other)
	e.previous("b", "", "another service")
	other = success("c", 'c', 20, 25)
	other.Environment = "staging"
	e.record(other)
	e.previous("c", "", "another environment")
	other = success("d", 'd', 30, 35)
	other.Service = ""
	e.record(other)
	e.previous("d", "", "deployments without a service form their own sequence")
	e.recordFor(e.org+"2", success("e", 'e', 40, 45))
	e.record(success("f", 'f', 50, 55))
	e.previous("f", commit('a'), "and never another organization's")
	other = success("g", 'g', 60, 65)
	other.Service = ""
	e.record(other)
	e.previous("g", commit('d'), "a deployment without a service follows another without one")
	for i, scope := range [][2]string{{"ab", "c"}, {"a", "bc"}, {"", "abc"}, {"AB", "c"}} {
		other = success(fmt.Sprint("h", i), byte('h'+i), 70+i, 75+i)
		other.Service, other.Environment = scope[0], scope[1]
		e.record(other)
		e.previous(other.DeploymentID, "", "service and environment are not joined into one text")
	}
}

func givenStays(e *env) {
	e.record(success("a", 'a', 0, 5))
	d := success("c", 'c', 20, 25)
	d.Status, d.PreviousCommitSHA = payload.StatusInProgress, commit('x')
	require.True(e, e.record(d).PreviousGiven)
	e.record(success("c", 'c', 20, 25))
	e.previous("c", commit('x'), "an update without one does not replace it")
	require.Empty(e, e.record(success("b", 'b', 10, 15)).Shifted)
	e.previous("c", commit('x'), "a deployment in between does not replace it either")
	e.record(success("d", 'd', 30, 35))
	d = success("d", 'd', 30, 35)
	d.PreviousCommitSHA = commit('y')
	e.record(d)
	e.previous("d", commit('y'), "a commit that the sender gives later replaces the filled-in one")
	e.record(success("e", 'e', 50, 55))
	d = success("e", 'e', 50, 55)
	d.PreviousCommitSHA = commit('d') // equal to the filled-in commit
	require.True(e, e.record(d).PreviousGiven)
	require.Empty(e, e.record(success("between", 'f', 40, 45)).Shifted)
	e.previous("e", commit('d'), "the sender has set it now")
}

func repository(name string) string { return "https://git.example/acme/" + name }

// further returns the commit of a further repository.
func further(name string, letter byte) []payload.RepositoryCommit {
	return []payload.RepositoryCommit{{RepositoryURL: repository(name), CommitSHA: commit(letter)}}
}

// of returns a deployment of service api and further repositories.
func of(id string, letter byte, began, ended int, commits ...[]payload.RepositoryCommit) *payload.Deployment {
	d := success(id, letter, began, ended)
	d.RepositoryURL, d.Commits = repository("api"), slices.Concat(commits...)
	return d
}

func severalRepositories(e *env) {
	e.record(of("a", 'a', 0, 5, further("web", 'm'), further("db", 'n'), further("web", 'o')))
	b := e.record(of("b", 'b', 10, 15, further("new", 'p'), further("db", 'q'), further("web", 'r'), further("api", 's')))
	want := []deployments.RepositoryCommit{{RepositoryURL: repository("db"), Commit: commit('n')}, {RepositoryURL: repository("web"), Commit: commit('m')}}
	require.Equal(e, want, b.PreviousCommits)
	require.Equal(e, want, e.get("b").PreviousCommits)
	require.Equal(e, []deployments.LinkCommit{
		{RepositoryURL: repository("new"), Commit: commit('p')},
		{RepositoryURL: repository("db"), Commit: commit('q'), PreviousCommit: commit('n')},
		{RepositoryURL: repository("web"), Commit: commit('r'), PreviousCommit: commit('m')},
	}, b.Link(e.org).Commits, "a repository counts once, and its own not again")

	given := of("c", 'c', 20, 25, further("web", 't'))
	given.PreviousCommitSHA = commit('x')
	c := e.record(given)
	require.Equal(e, commit('x'), c.Deployment.PreviousCommitSHA)
	require.Equal(e, commit('r'), c.Link(e.org).Commits[0].PreviousCommit, "a previous commit that was given is its own repository's")
	require.Empty(e, e.record(success("d", 'd', 30, 35)).PreviousCommits)
}

func correctedRepository(e *env) {
	e.record(of("a", 'a', 0, 5, further("web", 'm')))
	b := e.record(of("b", 'b', 10, 15, further("web", 'n')))
	require.NoError(e, e.ledger.SetLinked(e.ctx, b.Link(e.org), 3))
	a := e.record(of("a", 'a', 0, 5, further("web", 'o')))
	require.Len(e, a.Shifted, 1)
	require.Equal(e, e.get("b"), &a.Shifted[0])
	require.Equal(e, commit('o'), a.Shifted[0].PreviousCommits[0].Commit)
	require.False(e, a.Shifted[0].Linked, "the pull requests were counted from another commit")
	require.NoError(e, e.ledger.SetLinked(e.ctx, b.Link(e.org), 3))
	require.False(e, e.get("b").Linked, "a number for changed commits is not stored")
	require.NoError(e, e.ledger.SetLinked(e.ctx, a.Shifted[0].Link(e.org), 4))
	require.Equal(e, 4, e.get("b").LinkedPRs)
	require.Empty(e, e.record(of("a", 'a', 0, 5, further("web", 'o'))).Shifted, "a retry shifts nothing")
	moved := of("a", 'a', 0, 5, further("web", 'o'))
	moved.RepositoryURL = repository("other")
	require.Len(e, e.record(moved).Shifted, 1)
	e.previous("b", "", "the previous deployment is of another repository now")
	require.Equal(e, commit('o'), e.get("b").PreviousCommits[0].Commit)
}

func otherRepository(e *env) {
	e.record(of("a", 'a', 0, 5, further("web", 'm')))
	moved := of("b", 'b', 10, 15)
	moved.RepositoryURL = repository("web")
	e.record(moved)
	e.previous("b", commit('m'), "the previous deployment names the repository, too")
	e.record(of("c", 'c', 20, 25, further("web", 'n')))
	require.Equal(e, "", e.get("c").Deployment.PreviousCommitSHA, "the previous deployment is of another repository")
	require.Equal(e, commit('b'), e.get("c").PreviousCommits[0].Commit)
	e.record(success("d", 'd', 30, 35))
	e.previous("d", commit('c'), "no URL means the service's repository")
}

func byCompletion(e *env) {
	e.record(success("base", 'z', 0, 1))
	e.record(deployment("slow", payload.StatusInProgress, commit('s'), 10, 0))
	e.record(success("quick", 'q', 12, 14))
	e.record(success("slow", 's', 10, 20))
	e.previous("quick", commit('z'), "slow was not live yet")
	e.previous("slow", commit('q'), "quick was live when slow replaced it")
	e.record(deployment("slow", payload.StatusRolledBack, commit('s'), 10, 30))
	e.previous("slow", commit('q'), "a rollback does not change it")
}

func lateArrival(e *env) {
	e.record(success("a", 'a', 0, 5))
	c := e.record(success("c", 'c', 20, 25))
	require.NoError(e, e.ledger.SetLinked(e.ctx, c.Link(e.org), 3))
	e.record(success("d", 'd', 30, 35))
	b := e.record(success("b", 'b', 10, 15)) // recorded last
	e.previous("b", commit('a'), "a was live when b was deployed")
	e.previous("c", commit('b'), "b now precedes it")
	e.previous("d", commit('c'), "only the next one changes")
	require.Len(e, b.Shifted, 1)
	require.Equal(e, "c", b.Shifted[0].Deployment.DeploymentID)
	require.Equal(e, e.get("c"), &b.Shifted[0])
	require.False(e, b.Shifted[0].Linked, "the pull requests were counted from another commit")
	require.Zero(e, b.Shifted[0].LinkedPRs)
	require.Empty(e, e.record(success("b", 'b', 10, 15)).Shifted, "a retry shifts nothing")
	require.Equal(e, c.ID, b.Shifted[0].ID)
}

func rollback(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 10, 15))
	r := e.record(deployment("b", payload.StatusRolledBack, commit('b'), 10, 20))
	require.Equal(e, commit('a'), r.Deployment.PreviousCommitSHA, "it replaced a, even if it was rolled back")
	e.record(success("c", 'c', 30, 35))
	e.previous("c", commit('a'), "a was live again")
	r = e.record(deployment("a", payload.StatusRolledBack, commit('a'), 0, 60))
	require.Empty(e, r.Shifted)
	e.previous("c", commit('a'), "a was live when c was deployed; a later rollback does not change that")
	// A rollback by deploying the old commit again is an ordinary deployment.
	e.record(success("again", 'a', 70, 75))
	e.previous("again", commit('c'), "")
	e.record(success("d", 'd', 80, 85))
	e.previous("d", commit('a'), "")
}

func superseded(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 10, 15))
	e.record(success("c", 'c', 20, 25))
	r := e.record(deployment("b", payload.StatusFailure, commit('b'), 10, 40))
	require.False(e, r.Stale)
	require.Len(e, r.Shifted, 1)
	e.previous("c", commit('a'), "b did not succeed after all")
}

func corrected(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 10, 15))
	r := e.record(success("a", 'x', 0, 5))
	require.Len(e, r.Shifted, 1)
	e.previous("b", commit('x'), "")
}

func moved(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 10, 15))
	e.record(success("c", 'c', 20, 25))
	e.record(success("d", 'd', 30, 35))
	r := e.record(success("b", 'b', 10, 27))
	require.Len(e, r.Shifted, 2)
	e.previous("b", commit('c'), "it came after c")
	e.previous("c", commit('a'), "")
	e.previous("d", commit('b'), "")
	other := success("b", 'b', 10, 27)
	other.Environment = "staging"
	e.record(other)
	e.previous("b", "", "it is the first there")
	e.previous("d", commit('c'), "b went elsewhere")
}

func sameTime(e *env) {
	e.record(success("a", 'a', 0, 5))
	e.record(success("b", 'b', 0, 5))
	e.record(success("c", 'c', 0, 5))
	for range 2 {
		e.previous("a", "", "")
		e.previous("b", commit('a'), "")
		e.previous("c", commit('b'), "")
		e.record(success("a", 'a', 0, 5))
		e.record(success("b", 'b', 0, 5))
	}
}
