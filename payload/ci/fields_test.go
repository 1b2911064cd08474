package ci_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

// The legs of a matrix deploy several services in one job of one run. Each leg
// is a separate deployment, and all steps of a leg report the same one.
func TestRun_DeploymentIDPerMatrixLeg(t *testing.T) {
	t.Parallel()
	id := func(v vars, service string) string {
		run := detectVars(t, v)
		run.Environment, run.Service = "production", service
		return run.Deployment().DeploymentID
	}
	for _, service := range []string{"api", "web", "worker"} {
		want := "github-actions:1658821493:1:deploy:production:" + service
		assert.Equal(t, want, id(github, service))
		assert.Equal(t, want, id(github.with(vars{"GITHUB_ACTION": "__run_2"}), service), "another step of the same leg")
	}
	assert.Equal(t, "github-actions:1658821493:1:deploy:production", id(github, "shop"), "the service that was detected")

	// Variables that identify a leg are part of the ID.
	node := func(index string) string {
		return id(circle.with(vars{"CIRCLE_NODE_TOTAL": "2", "CIRCLE_NODE_INDEX": index}), "shop")
	}
	assert.Equal(t, "circleci:w-1:-:j-1/0:production", node("0"))
	assert.Equal(t, "circleci:w-1:-:j-1/1:production", node("1"))
	assert.Equal(t, "circleci:w-1:-:j-1:production", id(circle.with(vars{"CIRCLE_NODE_TOTAL": "1", "CIRCLE_NODE_INDEX": "0"}), "shop"))
	parallel := func(job, index string) string {
		return id(gitlab.with(vars{"CI_JOB_ID": job, "CI_NODE_TOTAL": "3", "CI_NODE_INDEX": index}), "shop")
	}
	assert.NotEqual(t, parallel("42", "1"), parallel("43", "2"), "GitLab gives each parallel job an ID")
	assert.NotEqual(t, id(woodpecker, "shop"), id(woodpecker.with(vars{"CI_WORKFLOW_NUMBER": "3"}), "shop"))
	assert.NotEqual(t, id(gocd.with(vars{"GO_JOB_RUN_INDEX": "1"}), "shop"), id(gocd.with(vars{"GO_JOB_RUN_INDEX": "2"}), "shop"))

	// Variables that differ between two steps are not part of the ID.
	assert.Equal(t, id(codefresh, "shop"), id(codefresh.with(vars{"CF_STEP_NAME": "finish"}), "shop"))
	assert.Equal(t, id(argo, "shop"), id(argo.with(vars{"ARGO_NODE_ID": "node-2"}), "shop"))

	// If no variable identifies the legs, a problem tells the caller what to
	// set.
	for _, v := range []vars{
		github, github.with(vars{"GITEA_ACTIONS": "true"}), github.with(vars{"FORGEJO_ACTIONS": "true"}), jenkins,
	} {
		p := problem(detectVars(t, v), "deploymentId")
		assert.Contains(t, p.Reason, "all legs of a matrix")
		assert.Contains(t, p.Reason, "set a service or a deployment ID in every step")
	}
	for _, v := range []vars{github.with(vars{"JOB_CHECK_RUN_ID": "77"}), gitlab, circle, buildkite} {
		assert.Empty(t, detectVars(t, v).Problems)
	}
}

// Jenkins' GitLab plugin sets additional variables.
func TestJenkinsWithGitLab(t *testing.T) {
	t.Parallel()
	push := jenkins.with(vars{
		"BUILD_USER_ID": "", "BUILD_USER": "", "BRANCH_NAME": "", "GIT_BRANCH": "origin/main", "gitlabActionType": "PUSH",
		"gitlabBranch": "main", "gitlabSourceBranch": "main", "gitlabUserUsername": "mona", "gitlabUserName": "Mona Example",
	})
	run := detectVars(t, push)
	assert.False(t, run.IsPullRequest)
	assert.Equal(t, "main", run.Branch)
	assert.Equal(t, "mona", run.TriggeredBy)

	run = detectVars(t, push.with(vars{
		"gitlabActionType": "MERGE", "gitlabMergeRequestIid": "10", "gitlabMergeRequestLastCommit": headSHA, "gitlabSourceBranch": "topic",
	}))
	assert.Equal(t, 10, run.PullRequest)
	assert.Equal(t, headSHA, run.CommitSHA)
	assert.Equal(t, "topic", run.Branch)
	assert.Equal(t, sha, metadata(t, run, "merge_commit"))

	for _, name := range []string{"v1.2", "refs/tags/v1.2"} {
		run = detectVars(t, push.with(vars{
			"gitlabActionType": "TAG_PUSH", "gitlabBranch": name, "gitlabSourceBranch": name, "GIT_BRANCH": "detached", "gitlabUserUsername": "",
		}))
		assert.Equal(t, "v1.2", run.Tag)
		assert.Empty(t, run.Branch)
		assert.Equal(t, "Mona Example", run.TriggeredBy)
	}
}

// In a pull request, commit, message and author describe the same commit.
func TestDetect_MessageAndAuthorMatchCommit(t *testing.T) {
	t.Parallel()
	const merge = "Merge db49 into dc78"
	for name, v := range map[string]vars{
		"azure-pipelines": azurePull.with(vars{"BUILD_SOURCEVERSIONMESSAGE": merge, "BUILD_SOURCEVERSIONAUTHOR": "GitHub"}),
		"travis-ci":       travis.with(vars{"TRAVIS_PULL_REQUEST": "75", "TRAVIS_PULL_REQUEST_SHA": headSHA, "TRAVIS_COMMIT_MESSAGE": merge}),
		"gitlab-ci":       gitlabMR.with(vars{"CI_COMMIT_MESSAGE": merge}),
	} {
		run := detectVars(t, v)
		assert.Equal(t, name, run.System)
		assert.Equal(t, headSHA, run.CommitSHA)
		assert.Empty(t, run.CommitMessage, name)
		assert.Empty(t, run.CommitAuthor, name)
	}
	for _, v := range []vars{
		azure.with(vars{"BUILD_SOURCEVERSIONMESSAGE": "Fix it"}), travis.with(vars{"TRAVIS_COMMIT_MESSAGE": "Fix it"}),
		gitlabMR.with(vars{"CI_COMMIT_SHA": headSHA, "CI_COMMIT_MESSAGE": "Fix it"}),
		gitlabTag.with(vars{"CI_COMMIT_MESSAGE": "Fix it"}),
	} {
		assert.Equal(t, "Fix it", detectVars(t, v).CommitMessage, "push, tag, and a merge request without a merge commit")
	}
}

// pull_request_target and Prow run with a commit of the target branch.
func TestDetect_BaseCommitIsNotMergeCommit(t *testing.T) {
	t.Parallel()
	target := githubPull.with(vars{"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "pull_request_target"})
	head := event(`{"pull_request":{"number":75,"head":{"sha":"` + headSHA + `"}}}`)
	run := detect(t, ci.Environment{Getenv: target.getenv, Files: head})
	assert.Equal(t, headSHA, run.CommitSHA)
	assert.Equal(t, sha, metadata(t, run, "base_commit"))
	assert.Empty(t, metadata(t, run, "merge_commit"))
	run = detectVars(t, target.with(vars{"GITHUB_EVENT_PATH": ""}))
	assert.Contains(t, problem(run, "commitSha").Reason, "is a commit of the target branch")

	run = detect(t, ci.Environment{Getenv: githubPull.getenv, Files: head})
	assert.Equal(t, sha, metadata(t, run, "merge_commit"))
	run = detectVars(t, prow.with(vars{"PULL_NUMBER": "75", "PULL_PULL_SHA": headSHA}))
	assert.Equal(t, sha, metadata(t, run, "base_commit"))
	assert.Empty(t, metadata(t, run, "merge_commit"))
}

func TestAuthorIsAName(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"John Doe <john@example.com>": "John Doe", "John <Johnny> Doe <john@example.com>": "John", "<john@example.com>": "", "john": "john",
		"John Doe": "John Doe", "a < b": "a < b",
	} {
		run := detectVars(t, gitlab.with(vars{"CI_COMMIT_AUTHOR": given}))
		assert.Equal(t, want, run.CommitAuthor, given)
		run = detectVars(t, codefresh.with(vars{"CF_COMMIT_AUTHOR": given, "CF_BUILD_INITIATOR": given}))
		assert.Equal(t, want, run.CommitAuthor, given)
		assert.Equal(t, want, run.TriggeredBy, given)
	}
}

func TestTagIsATag(t *testing.T) {
	t.Parallel()
	run := detectVars(t, woodpecker.with(vars{"CI_COMMIT_TAG": "refs/heads/somebranch"}))
	assert.Empty(t, run.Tag)
	assert.Empty(t, metadata(t, run, "tag"))
	assert.Equal(t, "main", run.Branch)
	assert.Equal(t, "CI_COMMIT_TAG", problem(run, "branch").Variable)
	assert.Contains(t, problem(run, "branch").Reason, "does not name a tag")
	assert.Equal(t, "v1.2", detectVars(t, woodpecker.with(vars{"CI_COMMIT_TAG": "refs/tags/v1.2"})).Tag)
	assert.Equal(t, "v1.2", detectVars(t, woodpecker.with(vars{"CI_COMMIT_TAG": "v1.2"})).Tag)
}

func TestAppVeyorMessage(t *testing.T) {
	t.Parallel()
	v := appveyor.with(vars{"APPVEYOR_REPO_COMMIT_MESSAGE": "Fix it"})
	assert.Equal(t, "Fix it", detectVars(t, v).CommitMessage)
	assert.Equal(t, "Fix it\n\nAll of it.", detectVars(t, v.with(vars{"APPVEYOR_REPO_COMMIT_MESSAGE_EXTENDED": "All of it."})).CommitMessage)
}

// References and UUIDs have formats that a free text may also have.
func TestDetect_FreeTextIsUnchanged(t *testing.T) {
	t.Parallel()
	for _, message := range []string{
		"{api} rename {id}", "{}", "$(make release) again (at last)", "${x} and {y}", "feat:@scope/pkg", "{ facade }", "Use $(BUILD ID)",
		"mail ann@example.com",
	} {
		assert.Equal(t, message, detectVars(t, gitlab.with(vars{"CI_COMMIT_MESSAGE": message})).CommitMessage)
	}
	assert.Equal(t, "55-66", detectVars(t, bitbucket).TriggeredBy, "the braces of a UUID go")
	for _, reference := range []string{"$(Build.Reason)", "${BUILD_REASON}", "$(build-reason)"} {
		assert.Empty(t, metadata(t, detectVars(t, azure.with(vars{"BUILD_REASON": reference})), "ci_event"), reference)
	}
}

func TestRepositoryPath(t *testing.T) {
	t.Parallel()
	for remote, want := range map[string]string{
		`C:\src\acme\shop.git`:                  "src/acme/shop",
		`\\server\share\acme\shop.git`:          "server/share/acme/shop",
		"file:///C:/src/acme/shop.git":          "src/acme/shop",
		"codecommit::eu-west-1://shop":          "shop",
		"codecommit://profile@shop":             "shop",
		"codecommit::eu-west-1://profile@shop":  "shop",
		"git@github.com:acme/shop.git":          "acme/shop",
		"https://github.com/acme/shop":          "acme/shop",
		"ann:sec@ret@git.example/acme/shop":     "git.example/acme/shop",
		"codecommit::eu-west-1://pro@file@shop": "shop",
		"/srv/git/acme/shop.git":                "srv/git/acme/shop",
	} {
		run := detect(t, ci.Environment{Getenv: vars{}.getenv, Git: git(map[string]string{"log": sha + "\nAnn\nFix\n", "config": remote + "\n"})})
		assert.Equal(t, want, run.Repository, remote)
		assert.Equal(t, "shop", run.Service, remote)
	}
}

func TestPropertiesHaveSurrogatePairs(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		`\ud83d\ude80 Ann`: "🚀 Ann", `\uD83D\uDE80`: "🚀", `J\u00f6rg`: "Jörg", `\ud83d Ann`: "\ufffd Ann", `\ud83d\u0041`: "\ufffdA",
		`\ud83dx`: "\ufffdx", `\ud8`: "ud8",
	} {
		files := fstest.MapFS{"tc/build.properties": {Data: []byte("teamcity.build.triggeredBy.username=" + given + "\n")}}
		assert.Equal(t, want, detect(t, ci.Environment{Getenv: teamcity.getenv, Files: files}).TriggeredBy, given)
	}
}

// The test runs git in a repository with a tag that has the branch's name and
// with commits that are not in UTF-8.
func TestRealGit(t *testing.T) {
	t.Parallel()
	servicetest.Program(t, "git")
	dir := t.TempDir()
	command := func(ctx context.Context, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull, "HOME="+dir,
			"GIT_AUTHOR_NAME=Jörg", "GIT_AUTHOR_EMAIL=j@example.com", "GIT_COMMITTER_NAME=Jörg", "GIT_COMMITTER_EMAIL=j@example.com")
		out, err := cmd.Output()
		return string(out), err
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o600))
	for _, args := range [][]string{
		{"init", "-q"},
		{"checkout", "-q", "-b", "release"},
		{"config", "i18n.logOutputEncoding", "ISO-8859-1"},
		{"add", "a"},
		{"commit", "-q", "-m", "Für alle"},
		{"tag", "release"},
	} {
		_, err := command(t.Context(), args...)
		require.NoError(t, err, "%v", args)
	}
	run := detect(t, ci.Environment{Getenv: vars{}.getenv, Git: command})
	assert.Equal(t, "release", run.Branch)
	assert.Equal(t, "Jörg", run.CommitAuthor)
	assert.Equal(t, "Für alle", run.CommitMessage)
}

// A pipeline's name only informs, so bytes that are no text don't cost the
// event the name.
func TestRun_PipelineNameIsMadeValid(t *testing.T) {
	t.Parallel()
	run := detectVars(t, github)
	run.PipelineName = "Deploy \xff"
	event := run.Event(payload.DeployLive)
	name, ok := event.Metadata.Get("pipeline_name")
	require.True(t, ok)
	require.Equal(t, `"Deploy `+"\ufffd"+`"`, name.JSON())
}
