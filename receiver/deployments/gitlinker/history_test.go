package gitlinker_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/dora"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
)

// dated adds a commit with the given times.
func (r *repo) dated(message string, authored, committed time.Time, parents ...string) string {
	r.Helper()
	r.commits++
	var stream strings.Builder
	fmt.Fprintf(&stream, "commit refs/made/%d\nauthor a <a@example.com> %d +0000\ncommitter a <a@example.com> %d +0000\ndata %d\n%s\n",
		r.commits, authored.Unix(), committed.Unix(), len(message), message)
	for i, p := range parents {
		fmt.Fprintf(&stream, "%s %s\n", []string{"from", "merge"}[min(i, 1)], p)
	}
	run(r, stream.String(), "--git-dir="+r.dir, "fast-import", "--quiet")
	return r.git("rev-parse", fmt.Sprintf("refs/made/%d", r.commits))
}

func doraRepo() dora.Repository { return dora.Repository{Organization: "acme", Service: "api"} }

func monday(hour int) time.Time { return time.Date(2026, 3, 2, hour, 0, 0, 0, time.UTC) }

// metrics records deployments and computes the report of their week.
func metrics(t *testing.T, l *gitlinker.Linker, records ...*payload.Deployment) *dora.Report {
	t.Helper()
	ledger, err := deployments.NewMemoryLedger()
	require.NoError(t, err)
	for i, d := range records {
		d.DeploymentID, d.Service, d.Environment, d.Status = fmt.Sprint(i+1), "api", "production", payload.StatusSuccess
		d.StartedAt = d.CompletedAt
		_, err := ledger.Record(t.Context(), "acme", d)
		require.NoError(t, err)
	}
	c, err := dora.New(ledger, dora.WithCommits(l))
	require.NoError(t, err)
	w, err := dora.NewWindow("UTC", "2026-03-02", "2026-03-09")
	require.NoError(t, err)
	reports, err := c.Reports(t.Context(), "acme", w)
	require.NoError(t, err)
	require.Len(t, reports, 1)
	return reports[0]
}

func deployed(commit string, hour int) *payload.Deployment {
	return &payload.Deployment{CommitSHA: commit, CompletedAt: monday(hour)}
}

// Two branches are merged and deployed. Each of their commits has a lead time
// from its author's time. The merge has none.
func TestHistory_LeadTimes(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	c1 := r.dated("first", monday(10), monday(10))
	c2 := r.dated("squashed (#2)", monday(15), monday(18), c1)
	c3 := r.dated("rebased", monday(16), monday(18), c1)
	c4 := r.dated("Merge pull request #3 from acme/branch", monday(18), monday(18), c2, c3)
	l := newLinker(t, r.dir)
	report := metrics(t, l, deployed(c1, 12), deployed(c4[:9], 19))
	require.Equal(t, 2, report.ChangeLeadTime.N)
	require.InDelta(t, 3.5*3600, *report.ChangeLeadTime.MedianSeconds, 0)
	require.Len(t, report.Deployments[1].Changes, 2)
	for _, change := range report.Deployments[1].Changes {
		require.Contains(t, []string{c2, c3}, change.Commit.String())
	}
}

// These deployments have neither a lead time nor pull requests.
func TestHistory_DeploymentsWithoutLeadTime(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	main := r.line("", "one (#1)", "two (#2)", "three (#3)", "four (#4)")
	other := r.commit("of another history (#9)")
	unknown := strings.Repeat("ab", 20)
	l := newLinker(t, r.dir)
	report := metrics(t, l, deployed(main[1], 8), deployed(main[1], 9), deployed(main[3], 10), deployed(main[2], 11),
		deployed(unknown, 12), deployed(main[3], 13), deployed(other, 14))
	var reasons []dora.Reason
	for _, d := range report.Deployments {
		reason := dora.Reason("measured")
		if len(d.LeftOut) > 0 {
			reason = d.LeftOut[0].Reason
		}
		reasons = append(reasons, reason)
	}
	require.Equal(t, []dora.Reason{
		dora.ReasonFirst, dora.ReasonRedeployment, "measured", dora.ReasonGoingBack, dora.ReasonGap, dora.ReasonGoingBack, dora.ReasonGap,
	}, reasons)
	requirePRs(t, l, "", main[1], 2) // the first deployment, so only its own commit counts
	requirePRs(t, l, main[1], main[1])
	requirePRs(t, l, main[1], main[3], 3, 4)
	requirePRs(t, l, main[3], main[2])
	_, err := l.PullRequests(t.Context(), link(unknown, main[3]))
	require.ErrorIs(t, err, gitlinker.ErrUnknownCommit, "a gap is no number")
}

func TestHistory_SeveralRepositories(t *testing.T) {
	t.Parallel()
	r, web := newRepo(t), newRepo(t)
	main := r.line("", "one", "two (#2)")
	pages := web.line("", "a", "b (#7)", "c (#8)")
	const url = "https://git.example/acme/web"
	l := newLinker(t, r.dir, gitlinker.WithRepositories("acme", map[string]string{url: web.dir}))
	with := func(d *payload.Deployment, commit, url string) *payload.Deployment {
		d.Commits = []payload.RepositoryCommit{{RepositoryURL: url, CommitSHA: commit}}
		return d
	}
	report := metrics(t, l, with(deployed(main[0], 8), pages[0], url), with(deployed(main[1], 9), pages[2], url))
	require.Len(t, report.Deployments[1].Changes, 3, "of both")
	report = metrics(t, l, with(deployed(main[0], 8), pages[0], url+"2"), with(deployed(main[1], 9), pages[2], url+"2"))
	require.Len(t, report.Deployments[1].Changes, 1)
	require.Equal(t, dora.ReasonNoHistory, report.Deployments[1].LeftOut[0].Reason)
	require.Contains(t, report.Deployments[1].LeftOut[0].Detail, "WithRepositories")

	// A record with a repository URL is linked in that repository.
	in := link(pages[0], pages[2])
	in.RepositoryURL = url
	found, err := l.PullRequests(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []gitlinker.PullRequest{{url, 7}, {url, 8}}, found)
	in.Organization = "other"
	_, err = l.PullRequests(t.Context(), in)
	require.ErrorIs(t, err, gitlinker.ErrUnknownService, "another organization's")

	for _, dirs := range []map[string]string{{"": "x"}, {"x": ""}} {
		_, err := gitlinker.New(gitlinker.ByService("acme", nil), gitlinker.WithRepositories("acme", dirs))
		require.ErrorIs(t, err, gitlinker.ErrConfig)
	}
}

func TestHistory_NoHistory(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", "one", "two")
	shallow := t.TempDir()
	run(t, "", "clone", "--quiet", "--bare", "--depth=1", "--branch=made", "file://"+branch(r, names[1]), shallow)
	for name, l := range map[string]*gitlinker.Linker{"shallow": newLinker(t, shallow), "none on purpose": newLinker(t, "")} {
		report := metrics(t, l, deployed(names[0], 8), deployed(names[1], 9))
		require.Equal(t, dora.ReasonNoHistory, report.Deployments[1].LeftOut[0].Reason, name)
		require.Nil(t, report.ChangeLeadTime.MedianSeconds)
	}
	_, err := newLinker(t, r.dir).Resolve(t.Context(), dora.Repository{Organization: "other", Service: "api"}, names)
	require.ErrorIs(t, err, dora.ErrNoHistory)
	_, err = newLinker(t, t.TempDir()).Resolve(t.Context(), doraRepo(), names)
	require.ErrorIs(t, err, gitlinker.ErrRepository, "a broken repository is an error")
	var none *gitlinker.Linker
	_, err = none.Resolve(t.Context(), doraRepo(), names)
	require.ErrorIs(t, err, gitlinker.ErrConfig)
}

// branch creates a branch, which a clone needs.
func branch(r *repo, commit string) string {
	r.git("branch", "made", commit)
	return r.dir
}

func TestResolve(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", `Revert "two (#2)"`, "ünï", "three")
	r.git("tag", names[2][:7], names[0]) // a tag with the name of a commit
	l := newLinker(t, r.dir)
	tree := r.git("rev-parse", names[0]+"^{tree}")
	found, err := l.Resolve(t.Context(), doraRepo(), []string{names[2][:7], strings.Repeat("ab", 20), names[0], tree, names[1], "xyz"})
	require.NoError(t, err)
	var subjects []string
	for _, f := range found {
		subjects = append(subjects, fmt.Sprint(f.Known, " ", f.Subject))
	}
	require.Equal(t, []string{"true three", "false ", `true Revert "two (#2)"`, "false ", "true ünï", "false "}, subjects)
	found, err = l.Resolve(t.Context(), doraRepo(), nil)
	require.NoError(t, err)
	require.Empty(t, found)
	for range l.Walk(t.Context(), doraRepo(), []dora.CommitID{commitID(t, names[2])}, nil) {
		break // this ends git
	}
}

func commitID(t *testing.T, name string) dora.CommitID {
	t.Helper()
	id, ok := dora.ParseCommitID(name)
	require.True(t, ok)
	return id
}
