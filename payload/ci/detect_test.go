package ci_test

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

func event(text string) fs.FS { return file(eventPath, text) }

// In pull requests, re-runs and merge queues, GITHUB_SHA, GITHUB_REF and
// GITHUB_ACTOR do not describe the deployed commit, its branch and the person
// who started the run.
func TestGitHub(t *testing.T) {
	t.Parallel()
	t.Run("merge commit without the event file", func(t *testing.T) {
		t.Parallel()
		run := detectVars(t, githubPull)
		assert.Empty(t, run.CommitSHA)
		assert.Equal(t, "feature/pr-branch", run.Branch)
		assert.Equal(t, "GITHUB_EVENT_PATH", problem(run, "commitSha").Variable)
		assert.Contains(t, problem(run, "commitSha").Reason, "set the commit")
		assert.Equal(t, sha, metadata(t, run, "merge_commit"))
		assert.Contains(t, run.Missing, "commitSha")
	})
	t.Run("merge commit without a path to the event", func(t *testing.T) {
		t.Parallel()
		run := detectVars(t, githubPull.with(vars{"GITHUB_EVENT_PATH": ""}))
		assert.Empty(t, run.CommitSHA)
		assert.Equal(t, ci.Problem{
			Field: "commitSha", Variable: "GITHUB_SHA",
			Reason: "is the merge commit of the pull request, not its head; set the commit",
		}, problem(run, "commitSha"))
		assert.NotEmpty(t, run.Problems[0].String())
	})
	t.Run("event files that cannot be used", func(t *testing.T) {
		t.Parallel()
		for reason, files := range map[string]fs.FS{
			"is not there or cannot be read": fstest.MapFS{},
			"is not a regular file":          fstest.MapFS{eventPath[1:]: {Mode: fs.ModeNamedPipe}},
			"is too large":                   event(`{"before":"` + strings.Repeat("x", 5<<20) + `"}`),
			"is not JSON":                    event(`{"pull_request":{"head":{"sha":"` + headSHA + `"}}`),
		} {
			run := detect(t, ci.Environment{Getenv: githubPull.getenv, Files: files})
			assert.Empty(t, run.CommitSHA, reason)
			assert.Contains(t, problem(run, "commitSha").Reason, reason)
			run = detect(t, ci.Environment{Getenv: github.getenv, Files: files})
			assert.Equal(t, sha, run.CommitSHA)
			assert.Contains(t, problem(run, "metadata").Reason, reason)
		}
	})
	t.Run("odd events", func(t *testing.T) {
		t.Parallel()
		for _, text := range []string{
			`{"a":1,"a":{"b":2},"pull_request":{"labels":[{"a":[1,{}]}],"number":75,"head":{"sha":"` + headSHA + `"}},"before":{}}`,
			"\xef\xbb\xbf" + `{"pull_request":{"number":75,"merged":null,"head":{"ref":{"odd":1},"sha":"` + headSHA + `"}},"before":null}`,
		} {
			run := detect(t, ci.Environment{Getenv: githubPull.getenv, Files: event(text)})
			assert.Equal(t, headSHA, run.CommitSHA, text)
		}
	})
	t.Run("merged pull request is a push to its target", func(t *testing.T) {
		t.Parallel()
		v := githubPull.with(vars{"GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main"})
		run := detect(t, ci.Environment{Getenv: v.getenv, Files: event(
			`{"pull_request":{"number":75,"merged":true,"merge_commit_sha":"` + prevSHA + `","head":{"sha":"` + headSHA + `"}}}`)})
		assert.Equal(t, prevSHA, run.CommitSHA)
		assert.Equal(t, "main", run.Branch)
		assert.False(t, run.IsPullRequest)
	})
	t.Run("pull_request_target has the target's commit", func(t *testing.T) {
		t.Parallel()
		v := githubPull.with(vars{"GITHUB_REF": "refs/heads/main", "GITHUB_EVENT_NAME": "pull_request_target"})
		run := detectVars(t, v)
		assert.True(t, run.IsPullRequest)
		assert.Empty(t, run.CommitSHA)
		assert.Equal(t, "feature/pr-branch", run.Branch)
	})
	t.Run("deployment event", func(t *testing.T) {
		t.Parallel()
		v := github.with(vars{"GITHUB_REF": "", "GITHUB_REF_NAME": "", "GITHUB_REF_TYPE": "", "GITHUB_EVENT_NAME": "deployment"})
		run := detect(t, ci.Environment{Getenv: v.getenv, Files: event(
			`{"deployment":{"id":9007199254740993,"environment":"staging","ref":"main"},"before":"` + prevSHA + `"}`)})
		assert.Equal(t, "staging", run.Environment)
		assert.Empty(t, run.Branch)
		assert.Contains(t, run.Missing, "branch")
		assert.Equal(t, "9007199254740993", metadata(t, run, "github_deployment"))
		assert.Equal(t, prevSHA, metadata(t, run, "branch_previous_commit"))
		assert.Empty(t, run.PreviousCommitSHA)
	})
	t.Run("merge queue", func(t *testing.T) {
		t.Parallel()
		run := detectVars(t, github.with(vars{"GITHUB_REF": "refs/heads/gh-readonly-queue/release/2.x/pr-104-" + sha}))
		assert.Equal(t, "release/2.x", run.Branch)
	})
	t.Run("who re-ran", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, "ann", detectVars(t, github.with(vars{"GITHUB_TRIGGERING_ACTOR": ""})).TriggeredBy)
	})
	t.Run("without GITHUB_ACTIONS", func(t *testing.T) {
		t.Parallel()
		assert.Equal(t, "github-actions", detectVars(t, github.with(vars{"GITHUB_ACTIONS": "", "GITHUB_ACTION": "run1"})).System)
	})
	t.Run("commit message and author", func(t *testing.T) {
		t.Parallel()
		run := detect(t, ci.Environment{Getenv: github.getenv, Files: event(
			`{"head_commit":{"message":"Fix\nit","author":{"name":"Ann"}}}`)})
		assert.Equal(t, "Fix\nit", run.CommitMessage)
		assert.Equal(t, "Ann", run.Event(payload.DeployLive).Commit.Author)
	})
}

// Attempts, jobs and environments of one run are different deployments. The
// steps of one job report the same deployment.
func TestDeploymentID(t *testing.T) {
	t.Parallel()
	id := func(v vars, environment string) string {
		run := detectVars(t, v)
		run.Environment = environment
		return run.Deployment().DeploymentID
	}
	base := id(github, "production")
	assert.Equal(t, "github-actions:1658821493:1:deploy:production", base)
	assert.Equal(t, base, id(github.with(vars{"GITHUB_ACTION": "__run_2"}), "production"), "another step")
	ids := []string{
		base, id(github, "staging"), id(github.with(vars{"GITHUB_RUN_ATTEMPT": "2"}), "production"),
		id(github.with(vars{"GITHUB_JOB": "deploy2"}), "production"), id(github, ""), id(github, "-"),
		id(github.with(vars{"GITHUB_JOB": "deploy:x"}), "production"), id(github.with(vars{"GITHUB_JOB": "deploy"}), "x:production"),
		id(github.with(vars{"GITHUB_JOB": ""}), "production"), id(github.with(vars{"GITHUB_JOB": "-"}), "production"),
		id(github.with(vars{"JOB_CHECK_RUN_ID": "77"}), "production"),
		id(github, strings.Repeat("x", 300)), id(github, strings.Repeat("x", 301)), id(github, "prød ü"),
		id(buildkite, "p"), id(buildkite.with(vars{"BUILDKITE_RETRY_COUNT": "1"}), "p"),
		id(gitlab, "p"), id(gitlab.with(vars{"CI_JOB_ID": "70002", "CI_JOB_RETRY_COUNT": "1"}), "p"),
		id(azure, "p"), id(azure.with(vars{"SYSTEM_STAGEATTEMPT": "2"}), "p"), id(azure.with(vars{"SYSTEM_JOBATTEMPT": "2"}), "p"),
		id(travis, "p"), id(travis.with(vars{"TRAVIS_JOB_RESTARTED": "true"}), "p"),
		id(bitbucket, "p"), id(bitbucket.with(vars{"BITBUCKET_STEP_RUN_NUMBER": "2"}), "p"),
		id(woodpecker, "p"), id(woodpecker.with(vars{"CI_PIPELINE_RERUNS": "1"}), "p"),
		id(gocd, "p"), id(gocd.with(vars{"GO_STAGE_COUNTER": "3"}), "p"),
		id(drone, "p"), id(drone.with(vars{"DRONE_REPO": "acme/other"}), "p"),
	}
	slices.Sort(ids)
	assert.Len(t, slices.Compact(slices.Clone(ids)), len(ids), "%v", ids)
	for _, id := range ids {
		assert.LessOrEqual(t, len(id), 255)
		assert.NotContains(t, id, " ")
	}
	run := detectVars(t, github)
	run.DeploymentID, run.Environment = "mine", "production"
	assert.Equal(t, "mine", run.Deployment().DeploymentID)
	assert.Equal(t, "mine", run.Event(payload.DeployLive).DeploymentID)
	assert.Equal(t, "2", detectVars(t, gitlab.with(vars{"CI_JOB_RETRY_COUNT": "1"})).Attempt)
	assert.Empty(t, detectVars(t, gitlab.with(vars{"CI_JOB_RETRY_COUNT": "x"})).Attempt)
}

// GitLab's CI_COMMIT_BEFORE_SHA is the branch's previous commit or zeros, not
// the previously deployed commit. Jobs that stop, prepare, verify or access an
// environment do not deploy.
func TestGitLab(t *testing.T) {
	t.Parallel()
	run := detectVars(t, gitlab)
	assert.Equal(t, prevSHA, metadata(t, run, "branch_previous_commit"))
	assert.Empty(t, run.PreviousCommitSHA)
	assert.Equal(t, "Fix it\n\nAll of it.", run.CommitMessage)
	for _, v := range []vars{gitlabTag, gitlabMR} {
		assert.Empty(t, metadata(t, detectVars(t, v), "branch_previous_commit"), "zeros")
	}
	for _, action := range []string{"stop", "prepare", "verify", "access"} {
		run := detectVars(t, gitlab.with(vars{"CI_ENVIRONMENT_ACTION": action}))
		assert.Equal(t, action, run.Action)
		assert.Empty(t, run.Status)
		assert.Equal(t, "CI_ENVIRONMENT_ACTION", problem(run, "status").Variable)
	}
	assert.Equal(t, "gitlab-ci", detectVars(t, gitlab.with(vars{"GITLAB_CI": "gitlab"})).System)
}

// Jenkins prefixes the branch, appends it to the job's name, and may build a
// merge commit. A server without a configured URL sets no JENKINS_URL.
func TestJenkins(t *testing.T) {
	t.Parallel()
	free := jenkins.with(vars{"BRANCH_NAME": "", "JOB_NAME": "shop"})
	for given, want := range map[string]string{
		"origin/x/y": "x/y", "refs/heads/x": "x", "refs/remotes/origin/x": "x", "x": "x", "origin/tags/1.0": "", "detached": "",
	} {
		assert.Equal(t, want, detectVars(t, free.with(vars{"GIT_BRANCH": given})).Branch, given)
	}
	assert.Equal(t, "shop", detectVars(t, free).PipelineName)
	assert.Equal(t, "web/shop", detectVars(t, free.with(vars{"JOB_NAME": "web/shop/JDK=21,OS=linux"})).PipelineName)
	assert.Equal(t, "web/shop", detectVars(t, free.with(vars{"JOB_NAME": "web/shop"})).PipelineName)
	unconfigured := jenkins.with(vars{"JENKINS_URL": "", "BUILD_URL": "", "GIT_COMMIT": "", "BUILD_ID": "2013-11-02_23-01-02"})
	run := detectVars(t, unconfigured)
	assert.Equal(t, "jenkins", run.System)
	assert.Subset(t, run.Missing, []string{"pipelineUrl", "commitSha", "startedAt"})
	run = detect(t, ci.Environment{Getenv: unconfigured.getenv, Git: git(map[string]string{"log": headSHA + "\nAnn\nFix\n"})})
	assert.Equal(t, headSHA, run.CommitSHA)
	assert.Equal(t, "git", metadata(t, run, "commit_from"))
	assert.Equal(t, "jenkins", run.System)
	merged := jenkins.with(vars{"CHANGE_ID": "7", "CHANGE_BRANCH": "x", "BRANCH_NAME": "PR-7-merge"})
	run = detect(t, ci.Environment{Getenv: merged.getenv, Git: git(map[string]string{"log": headSHA + "\nAnn\nFix\n"})})
	assert.Empty(t, run.CommitSHA, "neither the merge commit nor what git has checked out")
	assert.Equal(t, "GIT_COMMIT", problem(run, "commitSha").Variable)
	assert.Equal(t, "Ann Example", detectVars(t, jenkins.with(vars{"BUILD_USER_ID": ""})).TriggeredBy)
}

// In pull requests, BUILD_SOURCEVERSION is the merge commit, and the actor is
// GitHub's service account. Stages are not environments.
func TestAzure(t *testing.T) {
	t.Parallel()
	run := detectVars(t, azurePull)
	assert.Empty(t, run.TriggeredBy, "the service account of GitHub is not an actor")
	assert.Equal(t, sha, metadata(t, run, "merge_commit"))
	assert.Equal(t, "x", detectVars(t, azurePull.with(vars{"SYSTEM_PULLREQUEST_SOURCEBRANCH": "refs/heads/x"})).Branch)
	run = detectVars(t, azurePull.with(vars{"SYSTEM_PULLREQUEST_SOURCECOMMITID": "", "SYSTEM_PULLREQUEST_SOURCEBRANCH": ""}))
	assert.Empty(t, run.CommitSHA)
	assert.Empty(t, run.Branch)
	run = detectVars(t, azure.with(vars{"AGENT_JOBSTATUS": "", "agent.jobstatus": "Canceled", "ENVIRONMENT_NAME": ""}))
	assert.Equal(t, payload.StatusCancelled, run.Status)
	assert.Empty(t, run.Environment, "__default is a stage")
	assert.Equal(t, "__default", metadata(t, run, "stage"))
	assert.Empty(t, detectVars(t, azure.with(vars{"ENVIRONMENT_NAME": "$(Environment.Name)"})).Environment)
}

// Detect does not use the target's commit and branch for a pull request if the
// variables for its source are missing.
func TestTargetIsNotSource(t *testing.T) {
	t.Parallel()
	for _, v := range []vars{
		travis.with(vars{"TRAVIS_PULL_REQUEST": "75"}), appveyor.with(vars{"APPVEYOR_PULL_REQUEST_NUMBER": "75"}),
		semaphore.with(vars{"SEMAPHORE_GIT_PR_NUMBER": "75", "SEMAPHORE_GIT_WORKING_BRANCH": ""}),
	} {
		run := detectVars(t, v)
		assert.Empty(t, run.Branch, run.System)
		assert.Empty(t, run.CommitSHA, run.System)
		assert.NotEmpty(t, problem(run, "commitSha").Reason, run.System)
	}
	for _, v := range []vars{drone.with(vars{"DRONE_PULL_REQUEST": "75"}), woodpecker.with(vars{"CI_COMMIT_PULL_REQUEST": "75"})} {
		assert.Empty(t, detectVars(t, v).Branch)
	}
	for _, v := range []vars{buildkite, travis, bitrise, netlify, render} {
		assert.False(t, detectVars(t, v).IsPullRequest)
	}
	assert.True(t, detectVars(t, render.with(vars{"IS_PULL_REQUEST": "true"})).IsPullRequest)
}

// If a system also sets the variables of another, the more specific system
// wins.
func TestOrder(t *testing.T) {
	t.Parallel()
	for name, families := range map[string][]vars{
		"forgejo-actions":     {github, {"GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}},
		"gitea-actions":       {github, {"GITEA_ACTIONS": "true"}},
		"github-actions":      {codebuild, jenkins, vercel, github},
		"gitlab-ci":           {codebuild, gitlab},
		"buildkite":           {codebuild, jenkins, buildkite},
		"woodpecker":          {gitlab.with(vars{"GITLAB_CI": ""}), woodpecker},
		"harness":             {drone, harness},
		"teamcity":            {jenkins, teamcity},
		"prow":                {jenkins, prow},
		"aws-codebuild":       {jenkins, codebuild},
		"jenkins":             {cloudbuild, netlify, jenkins},
		"codefresh":           {pages, codefresh},
		"cloudflare-pages":    {pages},
		"bitbucket-pipelines": {heroku, bitbucket},
		"drone":               {{"CI": "drone"}},
		"bitrise":             {eas, bitrise},
		"eas-build":           {octopus, eas},
		"xcode-cloud":         {{"CI_XCODEBUILD_ACTION": "archive", "CI_WORKFLOW": "Release"}},
		"octopus-deploy":      {vercel, {"TentacleJournal": "/etc/octopus/DeploymentJournal.xml"}},
	} {
		all := vars{}
		for _, family := range families {
			all = all.with(family)
		}
		assert.Equal(t, name, detectVars(t, all).System)
	}
	assert.True(t, detectVars(t, vercel).Platform)
	assert.False(t, detectVars(t, github).Platform)
}

// Without the values that a script has to export, a deployment of Octopus is
// recognized, and the record says what is missing.
func TestOctopus(t *testing.T) {
	t.Parallel()
	run := detectVars(t, vars{"TentacleJournal": "/etc/octopus/DeploymentJournal.xml"})
	assert.Equal(t, "Octopus Deploy", run.Name)
	assert.Subset(t, run.Missing, []string{"deploymentId", "commitSha", "environment", "service"})
	assert.Equal(t, "1.2.3", metadata(t, detectVars(t, octopus), "release"))
}

// A build profile of Expo is not an environment. The status is known in the
// last hooks only.
func TestEASBuild(t *testing.T) {
	t.Parallel()
	run := detectVars(t, eas.with(vars{"EAS_BUILD_STATUS": "errored"}))
	assert.Equal(t, payload.StatusFailure, run.Status)
	assert.Empty(t, run.Environment)
	assert.Equal(t, "production", metadata(t, run, "build_profile"))
	assert.Empty(t, detectVars(t, eas.with(vars{"EAS_BUILD_STATUS": ""})).Status)
}

// The number of a run of Taskcluster counts from 0.
func TestTaskcluster(t *testing.T) {
	t.Parallel()
	run := detectVars(t, taskcluster.with(vars{"RUN_ID": "2"}))
	assert.Equal(t, "3", run.Attempt)
	assert.Equal(t, "https://tc.example.com/tasks/fN1SbArXTPSVFNUvaOlinQ/runs/2", run.PipelineURL)
	assert.NotEqual(t, "taskcluster", detectVars(t, taskcluster.with(vars{"TASKCLUSTER_ROOT_URL": ""})).System)
}

// The exit code of xcodebuild is known after it has run.
func TestXcodeCloud(t *testing.T) {
	t.Parallel()
	assert.Equal(t, payload.StatusFailure, detectVars(t, xcode.with(vars{"CI_XCODEBUILD_EXIT_CODE": "65"})).Status)
	assert.Empty(t, detectVars(t, xcode.with(vars{"CI_XCODEBUILD_EXIT_CODE": ""})).Status)
}

func TestTeamCityFiles(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		"tc/build.properties": {Data: []byte("#comment\r\n! another\r\nteamcity.build.id=4711\r\nteamcity.auth.password=canary-7f3a\r\n" +
			`teamcity.configuration.properties.file=C\:\\tc\\config.properties` + "\r\n")},
		"tc/config.properties": {Data: []byte("teamcity.build.branch : refs/heads/release/\\\n    2.x\nteamcity.build.triggeredBy.username J\\u00f6rg\n" +
			"teamcity.serverUrl=https\\://tc.example.com\n")},
	}
	run := detect(t, ci.Environment{Getenv: teamcity.with(vars{"BUILD_URL": ""}).getenv, Files: files})
	assert.Equal(t, "teamcity:4711", run.DeploymentID)
	assert.Equal(t, "release/2.x", run.Branch)
	assert.Equal(t, "Jörg", run.TriggeredBy)
	assert.Equal(t, "https://tc.example.com/viewLog.html?buildId=4711", run.PipelineURL)
	assert.Empty(t, run.Problems)

	files["tc/config.properties"].Data = []byte("teamcity.build.branch=J\xf6rg\n\\")
	assert.Equal(t, "Jörg", detect(t, ci.Environment{Getenv: teamcity.getenv, Files: files}).Branch)
	files["tc/config.properties"].Data = []byte("teamcity.build.branch=<default>\nteamcity.build.triggeredBy=\\uZZ")
	assert.Empty(t, detect(t, ci.Environment{Getenv: teamcity.getenv, Files: files}).Branch)
	files["tc/build.properties"].Data = make([]byte, 1<<20+1)
	run = detect(t, ci.Environment{Getenv: teamcity.getenv, Files: files})
	assert.Contains(t, problem(run, "metadata").Reason, "is too large")
	assert.Equal(t, "teamcity:Shop/Deploy/7", run.DeploymentID)
}

func TestMisuse(t *testing.T) {
	t.Parallel()
	_, err := ci.Detect(context.Background(), ci.Environment{})
	require.ErrorContains(t, err, "os.Getenv")
	ctx, cancel := context.WithCancel(context.Background())
	_, err = ci.Detect(ctx, ci.Environment{Getenv: vars{}.getenv, Git: func(context.Context, ...string) (string, error) {
		cancel()
		return "", errors.New("killed")
	}})
	require.ErrorIs(t, err, context.Canceled)
	_, err = ci.Detect(ctx, ci.Environment{Getenv: github.getenv})
	require.ErrorIs(t, err, context.Canceled)
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		vars         vars
		field, cause string
		url          string
	}{
		{buildkite.with(vars{"BUILDKITE_BUILD_URL": "javascript:alert(1)"}), "pipelineUrl", "not an absolute", ""},
		{buildkite.with(vars{"BUILDKITE_BUILD_URL": "https:///x"}), "pipelineUrl", "not an absolute", ""},
		{buildkite.with(vars{"BUILDKITE_BUILD_URL": "https://x.example.com/" + strings.Repeat("a", 8192)}), "pipelineUrl", "longer", ""},
		{buildkite.with(vars{"BUILDKITE_BUILD_URL": "https://u:p@x.example.com:8080/@a/1"}), "pipelineUrl", "credentials", "https://x.example.com:8080/@a/1"},
		{
			buildkite.with(vars{"BUILDKITE_BUILD_URL": "https://x.example.com/?private_token=s&a=1&X-Sig=s#access_token=s"}), "pipelineUrl",
			"credentials", "https://x.example.com/?a=1",
		},
		{buildkite.with(vars{"BUILDKITE_BRANCH": "a\x1b[2Jb"}), "branch", "control character", "https://buildkite.com/acme/shop/builds/3"},
		{buildkite.with(vars{"BUILDKITE_BRANCH": strings.Repeat("b", 1025)}), "branch", "longer", "https://buildkite.com/acme/shop/builds/3"},
		{cirrus.with(vars{"CIRRUS_BRANCH": "pull/7"}), "branch", "pull request", "https://cirrus-ci.com/build/600"},
		{buildkite.with(vars{"BUILDKITE_BRANCH": "HEAD"}), "branch", "does not name", "https://buildkite.com/acme/shop/builds/3"},
		{semaphore.with(vars{"SEMAPHORE_JOB_RESULT": "odd"}), "status", "not a known status", "https://acme.semaphoreci.com/workflows/w-1?pipeline_id=p-1"},
		{bamboo.with(vars{"bamboo_buildTimeStamp": "yesterday"}), "startedAt", "not a date in a known format", "https://bamboo.example.com/browse/ACME-SHOP-7"},
	} {
		run := detectVars(t, c.vars)
		p := problem(run, c.field)
		assert.Contains(t, p.Reason, c.cause)
		assert.NotEmpty(t, p.Variable)
		assert.Equal(t, c.url, run.PipelineURL)
	}
	assert.Equal(t, "https://x.example.com:8080/@a/1", detectVars(t, buildkite.with(vars{"BUILDKITE_BUILD_URL": "https://x.example.com:8080/@a/1"})).PipelineURL)
	blank := detectVars(t, buildkite.with(vars{"BUILDKITE_BUILD_URL": "https://x.example.com/a b"}))
	assert.Equal(t, "https://x.example.com/a%20b", blank.PipelineURL)
	unstarted := detectVars(t, drone.with(vars{"DRONE_BUILD_STARTED": "0"}))
	assert.True(t, unstarted.StartedAt.IsZero())
	assert.Empty(t, unstarted.Problems)
	assert.Equal(t, payload.StatusRolledBack, detectVars(t, drone.with(vars{"DRONE_BUILD_EVENT": "rollback"})).Status)
	assert.Equal(t, payload.StatusFailure, detectVars(t, codebuild.with(vars{"CODEBUILD_BUILD_SUCCEEDING": "0"})).Status)
	assert.Equal(t, "schedule", detectVars(t, drone.with(vars{"DRONE_BUILD_TRIGGER": "@cron"})).TriggeredBy)
}

func TestEvent(t *testing.T) {
	t.Parallel()
	run := detectVars(t, gitlab.with(vars{"CI_ENVIRONMENT_URL": "https://shop.example.com"}))
	started := run.Event(payload.DeployStarted)
	assert.Equal(t, time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC), started.Timestamp)
	assert.Empty(t, started.Status, "success is not a start's")
	require.NoError(t, started.Validate())
	live := run.Event(payload.DeployLive)
	assert.Equal(t, payload.StatusSuccess, live.Status)
	assert.Equal(t, "https://shop.example.com", live.URL)
	live.Timestamp = started.Timestamp
	require.NoError(t, live.Validate())
	link, _ := live.Metadata.Get("pipeline_url")
	assert.Equal(t, `"`+run.PipelineURL+`"`, link.JSON())
}
