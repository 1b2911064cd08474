package ci_test

import (
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/ci"
)

// expected holds the fields of a Run in a form that fits a table.
type expected struct {
	system, id, commit, branch, tag, actor, pipeline, url, repo, service, environment string
	status                                                                            payload.Status
	// started is true for 10:30 UTC on 2024-01-15.
	started bool
	pull    int
}

func seen(run *ci.Run) expected {
	return expected{
		run.System, run.DeploymentID, run.CommitSHA, run.Branch, run.Tag, run.TriggeredBy, run.PipelineName, run.PipelineURL,
		run.Repository, run.Service, run.Environment, run.Status,
		run.StartedAt.Truncate(time.Second).Equal(time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)), run.PullRequest,
	}
}

// pushes lists all systems with a push to a branch.
var pushes = []struct {
	vars vars
	want expected
}{
	{github, expected{"github-actions", "github-actions:1658821493:1:deploy", sha, "feature/x", "", "bob", "Deploy", "https://github.com/acme/shop/actions/runs/1658821493/attempts/1", "acme/shop", "shop", "", "", false, 0}},
	{github.with(vars{"GITEA_ACTIONS": "true", "GITHUB_SERVER_URL": "https://git.example.com/"}), expected{"gitea-actions", "gitea-actions:1658821493:1:deploy", sha, "feature/x", "", "bob", "Deploy", "https://git.example.com/acme/shop/actions/runs/17", "acme/shop", "shop", "", "", false, 0}},
	{github.with(vars{"GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}), expected{"forgejo-actions", "forgejo-actions:1658821493:1:deploy", sha, "feature/x", "", "bob", "Deploy", "https://github.com/acme/shop/actions/runs/17", "acme/shop", "shop", "", "", false, 0}},
	{woodpecker, expected{"woodpecker", "woodpecker:acme/shop/8:-:deploy/2", sha, "main", "", "ann", "deploy", "https://ci.example.com/repos/1/pipeline/8", "acme/shop", "shop", "", "success", true, 0}},
	{gitlab, expected{"gitlab-ci", "gitlab-ci:9001:-:70001:production", sha, "main", "", "ann", "acme/web/shop", "https://gitlab.com/acme/web/shop/-/pipelines/9001", "acme/web/shop", "shop", "production", "success", true, 0}},
	{harness, expected{"harness", "harness:xYz:-:deploy", sha, "main", "", "ann", "shop_pipeline", "https://app.harness.io/build/42", "acme/shop", "shop", "", "", false, 0}},
	{drone, expected{"drone", "drone:acme/shop/42:-:1", sha, "main", "", "ann", "default", "https://drone.example.com/acme/shop/42", "acme/shop", "shop", "", "success", true, 0}},
	{azure, expected{"azure-pipelines", "azure-pipelines:12345:1.1:0a-1b:production", sha, "feature/tools", "", "Ann Example", "Deploy shop", "https://dev.azure.com/acme/Web%20Shop/_build/results?buildId=12345", "shop", "shop", "production", "success", true, 0}},
	{azureRelease, expected{"azure-pipelines", "azure-pipelines:release-77:2:-:Prod", sha, "feature/tools", "", "Bob", "Release shop", "https://dev.azure.com/acme/x/_release?releaseId=5", "shop", "shop", "Prod", "success", true, 0}},
	{circle, expected{"circleci", "circleci:w-1:-:j-1", sha, "main", "", "ann", "shop", "https://app.circleci.com/pipelines/workflows/w-1", "acme/shop", "shop", "", "", false, 0}},
	{buildkite, expected{"buildkite", "buildkite:bb-1:1:jj-1", sha, "main", "", "Ann Example", "Shop", "https://buildkite.com/acme/shop/builds/3", "acme/shop", "shop", "", "failure", false, 0}},
	{bitbucket, expected{"bitbucket-pipelines", "bitbucket-pipelines:11-22:1:33-44:staging", sha, "main", "", "55-66", "acme/shop", "https://bitbucket.org/acme/shop/pipelines/results/31", "acme/shop", "shop", "staging", "success", false, 0}},
	{travis, expected{"travis-ci", "travis-ci:1001:-:1002", sha, "main", "", "ann", "acme/shop", "https://app.travis-ci.com/acme/shop/builds/1001", "acme/shop", "shop", "", "success", false, 0}},
	{appveyor, expected{"appveyor", "appveyor:501:-:job5", sha, "main", "", "ann", "Shop", "https://ci.appveyor.com/project/acme/shop/builds/501", "acme/shop", "shop", "", "", false, 0}},
	{semaphore, expected{"semaphore", "semaphore:p-1:-:j-1", sha, "main", "", "ann", "Deploy", "https://acme.semaphoreci.com/workflows/w-1?pipeline_id=p-1", "acme/shop", "shop", "", "cancelled", true, 0}},
	{codefresh, expected{"codefresh", "codefresh:cf-1", sha, "main", "", "ann", "shop/deploy", "https://g.codefresh.io/build/cf-1", "acme/shop", "shop", "", "", true, 0}},
	{bitrise, expected{"bitrise", "bitrise:br-1", sha, "main", "", "", "deploy", "https://app.bitrise.io/build/br-1", "acme/shop", "shop", "", "failure", true, 0}},
	{codemagic, expected{"codemagic", "codemagic:cm-1", sha, "main", "", "", "acme/shop", "https://codemagic.io/app/app-1/build/cm-1", "acme/shop", "shop", "", "", false, 0}},
	{xcode, expected{"xcode-cloud", "xcode-cloud:xc-1:-:archive/iOS", sha, "main", "", "", "Release", "https://appstoreconnect.apple.com/teams/t/apps/1/ci/builds/xc-1", "", "Shop", "", "success", false, 0}},
	{taskcluster, expected{"taskcluster", "taskcluster:fN1SbArXTPSVFNUvaOlinQ:1", "", "", "", "", "", "https://tc.example.com/tasks/fN1SbArXTPSVFNUvaOlinQ/runs/0", "", "", "", "", false, 0}},
	{eas, expected{"eas-build", "eas-build:eas-1", sha, "", "", "ann", "production", "", "", "", "", "success", false, 0}},
	{octopus, expected{"octopus-deploy", "octopus-deploy:Deployments-123:-:-:Production", "", "", "", "ann", "Shop", "", "", "Shop", "Production", "", false, 0}},
	{harnessCD, expected{"harness", "harness:xYz:-:sTg", "", "", "", "", "shop_pipeline", "", "", "", "", "", false, 0}},
	{cirrus, expected{"cirrus-ci", "cirrus-ci:600:-:601", sha, "main", "", "", "deploy", "https://cirrus-ci.com/build/600", "acme/shop", "shop", "", "", false, 0}},
	{buddy, expected{"buddy", "buddy:5/9", sha, "main", "", "Ann", "Deploy", "https://app.buddy.works/acme/shop/9", "acme/shop", "shop", "", "", false, 0}},
	{teamcity.with(vars{"TEAMCITY_BUILD_PROPERTIES_FILE": "", "Git_Branch": "refs/heads/main"}), expected{"teamcity", "teamcity:Shop/Deploy/7", sha, "main", "", "", "Deploy", "https://tc.example.com/build/7", "", "Shop", "", "", false, 0}},
	{bamboo, expected{"bamboo", "bamboo:ACME-SHOP-JOB1-7:-:JOB1:Production", sha, "main", "", "ann", "Acme - Shop", "https://bamboo.example.com/browse/ACME-SHOP-7", "shop", "shop", "Production", "success", true, 0}},
	{gocd, expected{"gocd", "gocd:shop/11:2:deploy/live:prod", sha, "main", "", "ann", "shop", "https://go.example.com/go/pipelines/shop/11/deploy/2", "", "shop", "prod", "", false, 0}},
	{vela, expected{"vela", "vela:acme/shop/3", sha, "main", "", "ann", "acme/shop", "https://vela.example.com/acme/shop/3", "acme/shop", "shop", "", "", false, 0}},
	{screwdriver, expected{"screwdriver", "screwdriver:4:-:5", sha, "main", "", "", "acme/shop", "https://cd.screwdriver.cd/pipelines/1/builds/4", "acme/shop", "shop", "", "", false, 0}},
	{sourcehut, expected{"sourcehut", "sourcehut:1113", "", "main", "", "git.sr.ht", "", "https://builds.sr.ht/~ann/job/1113", "", "", "", "", false, 0}},
	{codeship, expected{"codeship", "codeship:cs-1", sha, "main", "", "ann", "acme/shop", "https://app.codeship.com/builds/1", "acme/shop", "shop", "", "", false, 0}},
	{prow, expected{"prow", "prow:pj-1:-:17", sha, "main", "", "", "deploy-shop", "", "acme/shop", "shop", "", "", false, 0}},
	{codebuild, expected{"aws-codebuild", "aws-codebuild:shop%3Auu-id", sha, "main", "", "4711", "shop", "https://console.aws.amazon.com/codebuild/1", "acme/shop", "shop", "", "success", true, 0}},
	{jenkins, expected{"jenkins", "jenkins:jenkins-web-shop-main-42", sha, "feature/x", "", "ann", "web/shop", "https://jenkins.example.com/job/web/42/", "acme/shop", "shop", "", "", false, 0}},
	{cloudbuild, expected{"google-cloud-build", "google-cloud-build:gcb-1", sha, "main", "", "", "deploy", "https://console.cloud.google.com/cloud-build/builds;region=europe-west1/gcb-1?project=acme", "acme/shop", "shop", "", "", false, 0}},
	{argo, expected{"argo-workflows", "argo-workflows:uid-1", "", "", "", "", "shop-x7z", "", "", "", "", "", false, 0}},
	{pages, expected{"cloudflare-pages", "", sha, "main", "", "", "", "https://x.shop.pages.dev", "", "", "", "", false, 0}},
	{workers, expected{"cloudflare-workers", "cloudflare-workers:wu-1", sha, "main", "", "", "", "", "", "", "", "", false, 0}},
	{vercel, expected{"vercel", "vercel:dpl_1:-:-:qa", sha, "main", "", "ann", "prj_1", "https://shop-1.vercel.app", "acme/shop", "shop", "qa", "", false, 0}},
	{netlify, expected{"netlify", "netlify:d-1:-:-:production", sha, "main", "", "", "shop-site", "https://app.netlify.com/sites/shop-site/deploys/d-1", "acme/shop", "shop", "production", "", false, 0}},
	{render, expected{"render", "", sha, "main", "", "", "shop", "https://shop.onrender.com", "", "shop", "", "", false, 0}},
	{railway, expected{"railway", "railway:rw-1:-:-:production", sha, "main", "", "ann", "shop-api", "", "acme/shop", "shop", "production", "", false, 0}},
	{heroku, expected{"heroku", "heroku:hk-1", sha, "main", "", "", "shop", "", "", "shop", "", "", false, 0}},
}

// A row of the table needs a fixture for each kind of build that it knows.
func TestEverySystemHasFixtures(t *testing.T) {
	t.Parallel()
	inPushes, inPulls := map[string]bool{}, map[string]bool{}
	for _, c := range pushes {
		inPushes[c.want.system] = true
	}
	for _, c := range pullRequests {
		inPulls[c.name] = true
	}
	for _, row := range ci.Systems() {
		const add = "payload/ci/systems_test.go: add a row for %q to %s, because its row in table.go %s"
		assert.True(t, inPushes[row.ID], add, row.ID, "pushes", "exists")
		assert.Equal(t, row.PullRequests, inPulls[row.ID], add, row.ID, "pullRequests", "sets pr, or remove it because pr is empty")
		_, ok := tags[row.ID]
		assert.Equal(t, row.Tags, ok, add, row.ID, "tags", "sets tag, or remove it because tag is empty")
	}
}

func TestPush(t *testing.T) {
	t.Parallel()
	for _, c := range pushes {
		t.Run(c.want.system, func(t *testing.T) {
			t.Parallel()
			run := detectVars(t, c.vars)
			assert.Equal(t, c.want, seen(run))
			// After the values that the system does not tell are set, the
			// record is valid.
			d := run.Deployment()
			d.Status, d.CompletedAt = payload.StatusSuccess, time.Unix(1705315000, 0)
			if d.StartedAt.IsZero() {
				d.StartedAt = d.CompletedAt
			}
			d.Environment = "production"
			if run.CommitSHA == "" {
				d.CommitSHA = sha
			}
			if run.DeploymentID == "" {
				d.DeploymentID = "given"
			}
			require.NoError(t, d.Validate())
			_, err := d.Encode()
			require.NoError(t, err)
		})
	}
}

// pullRequests are builds of pull requests. Commit and branch are those of the
// source.
var pullRequests = []struct {
	name   string
	vars   vars
	commit string
	branch string
}{
	{"github-actions", githubPull, headSHA, "feature/pr-branch"},
	{"gitea-actions", githubPull.with(vars{"GITEA_ACTIONS": "true"}), headSHA, "feature/pr-branch"},
	{"gitlab-ci", gitlabMR, headSHA, "feature/x"},
	{"woodpecker", woodpecker.with(vars{"CI_COMMIT_PULL_REQUEST": "75", "CI_COMMIT_SOURCE_BRANCH": "topic"}), sha, "topic"},
	{"harness", harness.with(vars{"DRONE_PULL_REQUEST": "75", "DRONE_SOURCE_BRANCH": "topic"}), sha, "topic"},
	{"drone", drone.with(vars{"DRONE_PULL_REQUEST": "75", "DRONE_SOURCE_BRANCH": "topic"}), sha, "topic"},
	{"azure-pipelines", azurePull, headSHA, "feature/azure-pipelines"},
	{"circleci", circle.with(vars{"CIRCLE_PULL_REQUEST": "https://github.com/acme/shop/pull/75"}), sha, "main"},
	{"buildkite", buildkite.with(vars{"BUILDKITE_PULL_REQUEST": "75"}), sha, "main"},
	{"bitbucket-pipelines", bitbucket.with(vars{"BITBUCKET_PR_ID": "75", "BITBUCKET_COMMIT": sha[:12]}), sha[:12], "main"},
	{"travis-ci", travis.with(vars{"TRAVIS_PULL_REQUEST": "75", "TRAVIS_PULL_REQUEST_SHA": headSHA, "TRAVIS_PULL_REQUEST_BRANCH": "topic"}), headSHA, "topic"},
	{"appveyor", appveyor.with(vars{"APPVEYOR_PULL_REQUEST_NUMBER": "75", "APPVEYOR_PULL_REQUEST_HEAD_COMMIT": headSHA, "APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH": "topic"}), headSHA, "topic"},
	{"semaphore", semaphore.with(vars{"SEMAPHORE_GIT_PR_NUMBER": "75", "SEMAPHORE_GIT_PR_SHA": headSHA, "SEMAPHORE_GIT_WORKING_BRANCH": "topic"}), headSHA, "topic"},
	{"codefresh", codefresh.with(vars{"CF_PULL_REQUEST_NUMBER": "75", "CF_BRANCH": "topic"}), sha, "topic"},
	{"bitrise", bitrise.with(vars{"BITRISE_PULL_REQUEST": "75"}), sha, "main"},
	{"codemagic", codemagic.with(vars{"CM_PULL_REQUEST": "true", "CM_PULL_REQUEST_NUMBER": "75", "CM_PULL_REQUEST_DEST": "main", "CM_BRANCH": "topic"}), sha, "topic"},
	{"xcode-cloud", xcode.with(vars{
		"CI_PULL_REQUEST_NUMBER": "75", "CI_PULL_REQUEST_SOURCE_BRANCH": "topic", "CI_PULL_REQUEST_SOURCE_COMMIT": sha, "CI_BRANCH": "", "CI_GIT_REF": "",
		"CI_PULL_REQUEST_TARGET_BRANCH": "main", "CI_PULL_REQUEST_TARGET_COMMIT": prevSHA,
	}), sha, "topic"},
	{"cirrus-ci", cirrus.with(vars{"CIRRUS_PR": "75", "CIRRUS_BRANCH": "pull/75"}), sha, ""},
	{"buddy", buddy.with(vars{"BUDDY_EXECUTION_PULL_REQUEST_ID": "pull/75", "BUDDY_EXECUTION_PULL_REQUEST_HEAD_BRANCH": "topic"}), sha, "topic"},
	{"vela", vela.with(vars{"VELA_BUILD_PULL_REQUEST": "75", "VELA_PULL_REQUEST_SOURCE": "topic"}), sha, "topic"},
	{"screwdriver", screwdriver.with(vars{"SD_PULL_REQUEST": "75", "PR_BRANCH_NAME": "origin/topic"}), sha, "topic"},
	{"prow", prow.with(vars{"PULL_NUMBER": "75", "PULL_PULL_SHA": headSHA, "PULL_HEAD_REF": "topic"}), headSHA, "topic"},
	{"aws-codebuild", codebuild.with(vars{"CODEBUILD_WEBHOOK_TRIGGER": "pr/75", "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/topic"}), sha, "topic"},
	{"jenkins", jenkins.with(vars{"CHANGE_ID": "75", "CHANGE_BRANCH": "topic", "BRANCH_NAME": "PR-75"}), sha, "topic"},
	{"google-cloud-build", cloudbuild.with(vars{"_PR_NUMBER": "75", "_HEAD_BRANCH": "topic"}), sha, "topic"},
	{"vercel", vercel.with(vars{"VERCEL_GIT_PULL_REQUEST_ID": "75"}), sha, "main"},
	{"netlify", netlify.with(vars{"PULL_REQUEST": "true", "REVIEW_ID": "75", "BRANCH": "pull/75/head", "HEAD": "topic"}), sha, "topic"},
	{"forgejo-actions", githubPull.with(vars{"GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}), headSHA, "feature/pr-branch"},
	{"teamcity", teamcity, sha, "topic"},
	{"bamboo", bamboo.with(vars{"bamboo_repository_pr_key": "75", "bamboo_repository_pr_sourceBranch": "topic"}), sha, "topic"},
	{"render", render.with(vars{"IS_PULL_REQUEST": "true"}), sha, "main"},
}

func TestPullRequest(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{
		strings.TrimPrefix(eventPath, "/"): {Data: []byte(`{"pull_request":{"number":75,"merged":false,"head":{"sha":"` + headSHA + `"}}}`)},
		"tc/build.properties":              {Data: []byte("teamcity.pullRequest.number=75\nteamcity.pullRequest.source.branch=topic\n")},
	}
	for _, c := range pullRequests {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			run := detect(t, ci.Environment{Getenv: c.vars.getenv, Files: files})
			assert.Equal(t, c.name, run.System)
			assert.Equal(t, c.commit, run.CommitSHA)
			assert.Equal(t, c.branch, run.Branch)
			assert.True(t, run.IsPullRequest)
			if c.branch != "" {
				assert.Empty(t, problemsBut(run, "deploymentId"))
			}
			number := 75
			switch c.name { // these do not number pull requests the same way
			case "gitlab-ci":
				number = 12
			case "azure-pipelines":
				number = 9
			case "render": // says that it is one, and not which
				number = 0
			}
			assert.Equal(t, number, run.PullRequest)
		})
	}
}

// tags are builds of tags. The tag is never the branch.
var tags = map[string]vars{
	"github-actions":      github.with(vars{"GITHUB_REF": "refs/tags/v1.2", "GITHUB_REF_NAME": "v1.2", "GITHUB_REF_TYPE": "tag"}),
	"gitlab-ci":           gitlabTag,
	"woodpecker":          woodpecker.with(vars{"CI_COMMIT_TAG": "v1.2", "CI_COMMIT_BRANCH": ""}),
	"drone":               drone.with(vars{"DRONE_TAG": "v1.2", "DRONE_BRANCH": "refs/tags/v1.2"}),
	"azure-pipelines":     azure.with(vars{"BUILD_SOURCEBRANCH": "refs/tags/v1.2", "BUILD_SOURCEBRANCHNAME": "v1.2"}),
	"circleci":            circle.with(vars{"CIRCLE_TAG": "v1.2", "CIRCLE_BRANCH": ""}),
	"buildkite":           buildkite.with(vars{"BUILDKITE_TAG": "v1.2", "BUILDKITE_BRANCH": "v1.2"}),
	"bitbucket-pipelines": bitbucket.with(vars{"BITBUCKET_TAG": "v1.2", "BITBUCKET_BRANCH": ""}),
	"travis-ci":           travis.with(vars{"TRAVIS_TAG": "v1.2", "TRAVIS_BRANCH": "v1.2"}),
	"appveyor":            appveyor.with(vars{"APPVEYOR_REPO_TAG": "True", "APPVEYOR_REPO_TAG_NAME": "v1.2", "APPVEYOR_REPO_BRANCH": "v1.2"}),
	"semaphore":           semaphore.with(vars{"SEMAPHORE_GIT_TAG_NAME": "v1.2", "SEMAPHORE_GIT_WORKING_BRANCH": "", "SEMAPHORE_GIT_BRANCH": "v1.2"}),
	"codefresh":           codefresh.with(vars{"CF_BRANCH": "tags/v1.2"}),
	"bitrise":             bitrise.with(vars{"BITRISE_GIT_TAG": "v1.2", "BITRISE_GIT_BRANCH": ""}),
	"codemagic":           codemagic.with(vars{"CM_TAG": "v1.2", "CM_BRANCH": ""}),
	"xcode-cloud":         xcode.with(vars{"CI_TAG": "v1.2", "CI_BRANCH": "", "CI_GIT_REF": "refs/tags/v1.2"}),
	"cirrus-ci":           cirrus.with(vars{"CIRRUS_TAG": "v1.2", "CIRRUS_BRANCH": ""}),
	"buddy":               buddy.with(vars{"BUDDY_EXECUTION_TAG": "v1.2", "BUDDY_EXECUTION_BRANCH": ""}),
	"vela":                vela.with(vars{"VELA_BUILD_TAG": "v1.2", "VELA_BUILD_BRANCH": "v1.2"}),
	"sourcehut":           sourcehut.with(vars{"GIT_REF": "refs/tags/v1.2"}),
	"aws-codebuild":       codebuild.with(vars{"CODEBUILD_WEBHOOK_TRIGGER": "tag/v1.2", "CODEBUILD_WEBHOOK_HEAD_REF": "refs/tags/v1.2"}),
	"jenkins":             jenkins.with(vars{"BRANCH_NAME": "", "GIT_BRANCH": "origin/tags/v1.2"}),
	"google-cloud-build":  cloudbuild.with(vars{"TAG_NAME": "v1.2", "BRANCH_NAME": ""}),
	"gitea-actions":       github.with(vars{"GITHUB_REF": "refs/tags/v1.2", "GITHUB_REF_NAME": "v1.2", "GITHUB_REF_TYPE": "tag", "GITEA_ACTIONS": "true"}),
	"forgejo-actions":     github.with(vars{"GITHUB_REF": "refs/tags/v1.2", "GITHUB_REF_NAME": "v1.2", "GITHUB_REF_TYPE": "tag", "GITEA_ACTIONS": "true", "FORGEJO_ACTIONS": "true"}),
	"harness":             harness.with(vars{"DRONE_TAG": "v1.2", "DRONE_BRANCH": ""}),
}

func TestTag(t *testing.T) {
	t.Parallel()
	for name, v := range tags {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run := detectVars(t, v)
			assert.Equal(t, name, run.System)
			assert.Equal(t, "v1.2", run.Tag)
			assert.Empty(t, run.Branch)
			assert.NotContains(t, run.Missing, "branch")
			assert.Equal(t, "v1.2", metadata(t, run, "tag"))
			assert.False(t, run.IsPullRequest)
			assert.Empty(t, problemsBut(run, "deploymentId"))
		})
	}
}
