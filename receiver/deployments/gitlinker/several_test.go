package gitlinker_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
	"github.com/deployhook/deployhook/signer"
)

const (
	webURL = "https://git.example/acme/web"
	dbURL  = "https://git.example/acme/db"
)

// Each repository has its own range. Pull requests of two repositories may have
// one number.
func TestSeveralRepositories(t *testing.T) {
	t.Parallel()
	api, web, db := newRepo(t), newRepo(t), newRepo(t)
	own := api.line("", "One (#1)", "Two (#2)")
	pages := web.line("", "A (#1)", "B (#2)", "C (#3)", "no pull request")
	tables := db.line("", "X (#9)", "Y (#10)")
	l := newLinker(t, api.dir, gitlinker.WithRepositories("acme", map[string]string{webURL: web.dir, dbURL: db.dir}))

	in := link(own[0], own[1])
	in.Commits = []deployments.LinkCommit{
		{RepositoryURL: webURL, Commit: pages[3][:12], PreviousCommit: pages[0]},
		{RepositoryURL: dbURL, Commit: tables[1]}, // without a previous commit
	}
	found, err := l.PullRequests(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []gitlinker.PullRequest{{"", 2}, {webURL, 2}, {webURL, 3}, {dbURL, 10}}, found)
	n, err := l.LinkedPRs(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, 4, n)

	// Two URLs of one repository do not count a pull request twice.
	l = newLinker(t, api.dir, gitlinker.WithRepositories("acme", map[string]string{webURL: web.dir, dbURL: web.dir}))
	in.Commits[1] = deployments.LinkCommit{RepositoryURL: dbURL, Commit: pages[2], PreviousCommit: pages[0]}
	found, err = l.PullRequests(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, []gitlinker.PullRequest{{"", 2}, {webURL, 2}, {webURL, 3}}, found)

	// A service without a repository on purpose may have further ones.
	none, err := gitlinker.New(func(context.Context, string, string) (string, error) { return "", nil },
		gitlinker.WithRepositories("acme", map[string]string{webURL: web.dir}))
	require.NoError(t, err)
	in.Commits = in.Commits[:1]
	n, err = none.LinkedPRs(t.Context(), in)
	require.NoError(t, err)
	require.Equal(t, 2, n)
}

// One repository that can't be read makes the number unknown.
func TestSeveralRepositories_Failures(t *testing.T) {
	t.Parallel()
	api, web := newRepo(t), newRepo(t)
	own := api.commit("One (#1)")
	page := web.commit("A (#1)")
	for name, c := range map[string]struct {
		commit deployments.LinkCommit
		want   error
	}{
		"not listed":       {deployments.LinkCommit{RepositoryURL: dbURL, Commit: page}, gitlinker.ErrUnknownRepository},
		"unknown commit":   {deployments.LinkCommit{RepositoryURL: webURL, Commit: own}, gitlinker.ErrUnknownCommit},
		"no commit":        {deployments.LinkCommit{RepositoryURL: webURL, Commit: "--all"}, gitlinker.ErrUnknownCommit},
		"unknown previous": {deployments.LinkCommit{RepositoryURL: webURL, Commit: page, PreviousCommit: own}, gitlinker.ErrUnknownCommit},
		"no repository":    {deployments.LinkCommit{RepositoryURL: webURL + "2", Commit: page}, gitlinker.ErrRepository},
	} {
		l := newLinker(t, api.dir, gitlinker.WithRepositories("acme", map[string]string{webURL: web.dir, webURL + "2": t.TempDir()}))
		in := link("", own)
		in.Commits = []deployments.LinkCommit{c.commit}
		n, err := l.LinkedPRs(t.Context(), in)
		require.ErrorIs(t, err, c.want, name)
		require.ErrorContains(t, err, c.commit.RepositoryURL, name)
		require.Zero(t, n, name)
		in.Organization = "other"
		_, err = l.LinkedPRs(t.Context(), in)
		require.ErrorIs(t, err, gitlinker.ErrUnknownService, "another organization's")
	}
}

// The ledger finds the previous commit of each repository.
func TestSeveralRepositories_Recorded(t *testing.T) {
	t.Parallel()
	api, web := newRepo(t), newRepo(t)
	own := api.line("", "One (#1)", "Two (#2)", "Three (#3)")
	pages := web.line("", "A (#1)", "B (#2)", "C (#3)", "D (#4)")
	linker := newLinker(t, api.dir, gitlinker.WithRepositories("acme", map[string]string{webURL: web.dir}))
	ledger, err := deployments.NewMemoryLedger()
	require.NoError(t, err)
	deploy := func(commit, page string, hour int) int {
		d := &payload.Deployment{
			DeploymentID: fmt.Sprint("d", hour), CommitSHA: commit, Service: "api", Environment: "production", Status: payload.StatusSuccess,
			StartedAt: monday(hour), CompletedAt: monday(hour),
		}
		if page != "" {
			d.Commits = []payload.RepositoryCommit{{RepositoryURL: webURL, CommitSHA: page}}
		}
		r, err := ledger.Record(t.Context(), "acme", d)
		require.NoError(t, err)
		n, err := linker.LinkedPRs(t.Context(), r.Link("acme"))
		require.NoError(t, err)
		return n
	}
	require.Equal(t, 2, deploy(own[0], pages[0], 8), "the first one counts its commits")
	require.Equal(t, 3, deploy(own[1], pages[2], 9), "one of its own, two of the other")
	require.Equal(t, 1, deploy(own[2], "", 10), "only its own")
	require.Equal(t, 1, deploy(own[2], pages[3], 11), "the previous deployment does not name the other, so only its commit counts")
}

// A deployment of two repositories arrives, and all of its pull requests are
// counted. Without a directory for one of them, linking fails.
func TestSeveralRepositories_Endpoint(t *testing.T) {
	t.Parallel()
	api, web := newRepo(t), newRepo(t)
	own := api.line("", "One (#1)", "Two (#2)")
	pages := web.line("", "A (#1)", "B (#2)", "C (#3)")
	const key = "dh_0123456789abcdefghij"
	hash, err := signer.HashAPIKey(key)
	require.NoError(t, err)
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	require.NoError(t, err)
	ledger, err := deployments.NewMemoryLedger()
	require.NoError(t, err)
	linker := newLinker(t, api.dir, gitlinker.WithRepositories("acme", map[string]string{webURL: web.dir}))
	h, err := deployments.New(keys, ledger, deployments.WithLinker(linker), deployments.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	deploy := func(id, commit, url, page string, minute int) string {
		body := fmt.Sprintf(`{"deploymentId":%q,"commitSha":%q,"environment":"production","status":"success","service":"api",`+
			`"commits":[{"repositoryUrl":%q,"commitSha":%q}],"startedAt":"2024-01-15T10:%02d:00Z","completedAt":"2024-01-15T10:%02d:30Z"}`,
			id, commit, url, page, minute, minute)
		q := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/api/webhooks/deployments", strings.NewReader(body))
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w.Body.String()
	}
	require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":2}`, deploy("a", own[0], webURL, pages[0], 1))
	require.Equal(t, `{"action":"created","deploymentId":2,"linkedPRs":3}`, deploy("b", own[1], webURL, pages[2], 3))
	require.Equal(t, `{"action":"created","deploymentId":3,"linkedPRs":0,"linkFailed":true}`, deploy("c", own[1], dbURL, pages[2], 4))
	// A late deployment in between shifts the previous commits of b.
	require.Equal(t, `{"action":"created","deploymentId":4,"linkedPRs":1}`, deploy("late", own[0], webURL, pages[1], 2))
	b, err := ledger.Get(t.Context(), "acme", "b")
	require.NoError(t, err)
	require.Equal(t, pages[1], b.PreviousCommits[0].Commit)
	require.Equal(t, 2, b.LinkedPRs, "one of each")
}
