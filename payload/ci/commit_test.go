package ci_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

// Detect uses only a full commit hash or an abbreviation as a commit. It does
// not use HEAD, zeros or a branch name.
func TestCommit(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a1", 32)
	for given, reason := range map[string]string{
		"HEAD": "git rev-parse HEAD", zeros: "all zeros", strings.Repeat("0", 64): "all zeros", "main": "not a commit", "abcdef": "not a commit",
		sha + "0": "not a commit", "g" + sha[1:]: "not a commit", strings.Repeat("a", 63): "not a commit",
		"3sL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY": "not a commit", "https://u:canary-7f3a@host/" + sha: "not a commit",
	} {
		run := detectVars(t, buildkite.with(vars{"BUILDKITE_COMMIT": given}))
		assert.Empty(t, run.CommitSHA, given)
		p := problem(run, "commitSha")
		assert.Equal(t, "BUILDKITE_COMMIT", p.Variable)
		assert.Contains(t, p.Reason, reason)
		assert.Contains(t, p.Reason, "set the")
		assert.NotContains(t, p.String(), "canary")
		assert.NotContains(t, run.Metadata.JSON(), "canary")
		if reason == "not a commit" {
			assert.NotEmpty(t, metadata(t, run, "commit_raw"))
		}
		run = detect(t, ci.Environment{
			Getenv: buildkite.with(vars{"BUILDKITE_COMMIT": given}).getenv, Git: git(map[string]string{"log": headSHA + "\n"}),
		})
		assert.Equal(t, headSHA, run.CommitSHA)
		assert.Empty(t, run.Problems)
	}
	for _, given := range []string{sha, sha[:7], sha[:12], strings.ToUpper(sha), " " + sha + "\n", long} {
		assert.Equal(t, strings.ToLower(strings.TrimSpace(given)), detectVars(t, buildkite.with(vars{"BUILDKITE_COMMIT": given})).CommitSHA)
	}
	run := detectVars(t, buildkite.with(vars{"BUILDKITE_COMMIT": long}))
	d := run.Deployment()
	assert.Equal(t, long[:40], d.CommitSHA)
	whole, _ := d.Metadata.Get("commit_sha256")
	assert.Equal(t, `"`+long+`"`, whole.JSON())
	assert.Equal(t, long, run.Event(payload.DeployLive).Commit.SHA)
}

// Detect recognizes a system by its exact variable names. Prefixes such as GO_
// and CF_, and general names such as CI and BUILD_ID, are not enough.
func TestNamesAreExact(t *testing.T) {
	t.Parallel()
	for _, v := range []vars{
		{"BAMBOO_PLANKEY": "x"},
		{"GO_VERSION": "1.26"},
		{"CF_INSTANCE_GUID": "x"},
		{"CI": "true"},
		{"CI": "false"},
		{"BUILD_TAG": "v1"},
		{"BUILD_ID": "1", "BUILD_URL": "https://x.example.com"},
		{"CI_NAME": "other"},
		{},
	} {
		run := detectVars(t, v)
		assert.Empty(t, run.System, v)
		assert.Equal(t, []string{
			"deploymentId", "commitSha", "environment", "status", "startedAt", "service", "branch", "previousCommitSha",
			"triggeredBy", "pipelineName", "pipelineUrl",
		}, run.Missing)
		assert.Empty(t, run.Problems)
		assert.True(t, run.Metadata.IsZero())
	}
}

// Only Vercel tells the commit of the last deployment. The previous commit of a
// branch is not used for it.
func TestPreviousCommit(t *testing.T) {
	t.Parallel()
	for _, c := range pushes {
		run := detectVars(t, c.vars)
		if c.want.system == "vercel" {
			assert.Equal(t, prevSHA, run.PreviousCommitSHA)
			continue
		}
		assert.Empty(t, run.PreviousCommitSHA, c.want.system)
		assert.Contains(t, run.Missing, "previousCommitSha")
	}
}

func TestGit(t *testing.T) {
	t.Parallel()
	answers := map[string]string{
		"log": sha + "\nAnn Example\nFix it\n\nAll of it.\n", "symbolic-ref": "feature/x\n", "config": "https://u:canary-7f3a@github.com/acme/shop.git\n",
	}
	for _, v := range []vars{{}, {"CI": "true"}} {
		run := detect(t, ci.Environment{Getenv: v.getenv, Git: git(answers)})
		assert.Equal(t, "git", run.System)
		assert.Equal(t, sha, run.CommitSHA)
		assert.Equal(t, "feature/x", run.Branch)
		assert.Equal(t, "acme/shop", run.Repository)
		assert.Equal(t, "shop", run.Service)
		assert.Equal(t, "Ann Example", run.CommitAuthor)
		assert.Equal(t, "Fix it\n\nAll of it.", run.CommitMessage)
		assert.Equal(t, "git", metadata(t, run, "ci_system"))
		assert.Empty(t, run.DeploymentID, "a commit does not identify a deployment")
		assert.Contains(t, run.Missing, "deploymentId")
		assert.NotContains(t, run.Metadata.JSON(), "canary")
	}
	run := detect(t, ci.Environment{Getenv: vars{}.getenv, Git: git(nil)})
	assert.Empty(t, run.System)
	assert.Empty(t, run.Problems)
	run = detect(t, ci.Environment{Getenv: netlify.with(vars{"COMMIT_REF": "main"}).getenv, Git: git(answers)})
	assert.Empty(t, run.CommitSHA, "where an app runs there may be any work tree")
	run = detect(t, ci.Environment{Getenv: sourcehut.getenv, Git: git(nil)})
	assert.Equal(t, "git", problem(run, "commitSha").Variable)
}
