package ci_test

const eventPath = "/github/workflow/event.json"

// The variables of a push, as each system sets them.
var (
	github = vars{
		"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "1658821493", "GITHUB_RUN_NUMBER": "17", "GITHUB_RUN_ATTEMPT": "1",
		"GITHUB_JOB": "deploy", "GITHUB_WORKFLOW": "Deploy", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/shop",
		"GITHUB_SHA": sha, "GITHUB_REF": "refs/heads/feature/x", "GITHUB_REF_NAME": "feature/x", "GITHUB_REF_TYPE": "branch",
		"GITHUB_ACTOR": "ann", "GITHUB_TRIGGERING_ACTOR": "bob", "GITHUB_EVENT_NAME": "push", "GITHUB_EVENT_PATH": eventPath,
	}
	githubPull = github.with(vars{
		"GITHUB_REF": "refs/pull/75/merge", "GITHUB_REF_NAME": "75/merge", "GITHUB_HEAD_REF": "feature/pr-branch",
		"GITHUB_BASE_REF": "main", "GITHUB_EVENT_NAME": "pull_request",
	})
	gitlab = vars{
		"CI": "true", "GITLAB_CI": "true", "CI_PIPELINE_ID": "9001", "CI_JOB_ID": "70001", "CI_PROJECT_PATH": "acme/web/shop",
		"CI_PROJECT_NAME": "shop", "CI_PIPELINE_URL": "https://gitlab.com/acme/web/shop/-/pipelines/9001", "CI_COMMIT_SHA": sha,
		"CI_COMMIT_BRANCH": "main", "CI_COMMIT_REF_NAME": "main", "CI_COMMIT_BEFORE_SHA": prevSHA, "GITLAB_USER_LOGIN": "ann",
		"CI_ENVIRONMENT_NAME": "production", "CI_ENVIRONMENT_ACTION": "start", "CI_JOB_STATUS": "success",
		"CI_JOB_STARTED_AT": "2024-01-15T10:30:00Z", "CI_COMMIT_MESSAGE": "Fix it\n\nAll of it.", "CI_COMMIT_AUTHOR": "Ann <ann@example.com>",
		"CI_REPOSITORY_URL": "https://gitlab-ci-token:canary-7f3a@gitlab.com/acme/web/shop.git", "CI_JOB_TOKEN": "canary-7f3a",
	}
	gitlabTag = gitlab.with(vars{"CI_COMMIT_BRANCH": "", "CI_COMMIT_TAG": "v1.2", "CI_COMMIT_REF_NAME": "v1.2", "CI_COMMIT_BEFORE_SHA": zeros})
	gitlabMR  = gitlab.with(vars{
		"CI_COMMIT_BRANCH": "", "CI_MERGE_REQUEST_IID": "12", "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature/x",
		"CI_MERGE_REQUEST_SOURCE_BRANCH_SHA": headSHA, "CI_COMMIT_REF_NAME": "feature/x", "CI_COMMIT_BEFORE_SHA": zeros,
	})
	woodpecker = vars{
		"CI": "woodpecker", "CI_SYSTEM_NAME": "woodpecker", "CI_REPO": "acme/shop", "CI_PIPELINE_NUMBER": "8", "CI_WORKFLOW_NAME": "deploy", "CI_WORKFLOW_NUMBER": "2",
		"CI_PIPELINE_URL": "https://ci.example.com/repos/1/pipeline/8", "CI_COMMIT_SHA": sha, "CI_COMMIT_BRANCH": "main",
		"CI_PIPELINE_AUTHOR": "ann", "CI_PIPELINE_STATUS": "success", "CI_PIPELINE_STARTED": "1705314600", "CI_PREV_COMMIT_SHA": prevSHA,
	}
	harness = vars{
		"HARNESS_BUILD_ID": "42", "HARNESS_EXECUTION_ID": "xYz", "HARNESS_STAGE_ID": "deploy", "HARNESS_PIPELINE_ID": "shop_pipeline",
		"CI_BUILD_LINK": "https://app.harness.io/build/42", "CI_REPO": "shop", "CI_REPO_REMOTE": "https://github.com/acme/shop.git",
		"DRONE": "true", "DRONE_COMMIT_SHA": sha, "DRONE_BRANCH": "main", "DRONE_BUILD_TRIGGER": "ann",
	}
	drone = vars{
		"CI": "true", "DRONE": "true", "DRONE_REPO": "acme/shop", "DRONE_BUILD_NUMBER": "42", "DRONE_STAGE_NUMBER": "1",
		"DRONE_STAGE_NAME": "default", "DRONE_BUILD_LINK": "https://drone.example.com/acme/shop/42", "DRONE_COMMIT_SHA": sha,
		"DRONE_BRANCH": "main", "DRONE_BUILD_TRIGGER": "@hook", "DRONE_COMMIT_AUTHOR": "ann", "DRONE_BUILD_STATUS": "success",
		"DRONE_BUILD_STARTED": "1705314600", "DRONE_BUILD_FINISHED": "1705319999", "DRONE_COMMIT_BEFORE": prevSHA,
	}
	azure = vars{
		"TF_BUILD": "True", "BUILD_BUILDID": "12345", "SYSTEM_STAGEATTEMPT": "1", "SYSTEM_JOBATTEMPT": "1", "SYSTEM_JOBID": "0a-1b",
		"BUILD_DEFINITIONNAME": "Deploy shop", "SYSTEM_TEAMFOUNDATIONCOLLECTIONURI": "https://dev.azure.com/acme/",
		"SYSTEM_TEAMPROJECT": "Web Shop", "BUILD_REPOSITORY_NAME": "shop", "BUILD_SOURCEVERSION": sha,
		"BUILD_SOURCEBRANCH": "refs/heads/feature/tools", "BUILD_SOURCEBRANCHNAME": "tools", "BUILD_REQUESTEDFOR": "Ann Example",
		"ENVIRONMENT_NAME": "production", "AGENT_JOBSTATUS": "SucceededWithIssues", "SYSTEM_STAGENAME": "__default",
		"SYSTEM_PIPELINESTARTTIME": "2024-01-15 11:30:00+01:00",
	}
	azurePull = azure.with(vars{
		"BUILD_SOURCEBRANCH": "refs/pull/9/merge", "BUILD_SOURCEBRANCHNAME": "merge", "BUILD_REQUESTEDFOR": "GitHub",
		"SYSTEM_PULLREQUEST_PULLREQUESTNUMBER": "9", "SYSTEM_PULLREQUEST_SOURCECOMMITID": headSHA,
		"SYSTEM_PULLREQUEST_SOURCEBRANCH": "feature/azure-pipelines",
	})
	azureRelease = azure.with(vars{
		"RELEASE_DEPLOYMENTID": "77", "RELEASE_ATTEMPTNUMBER": "2", "RELEASE_DEFINITIONNAME": "Release shop", "ENVIRONMENT_NAME": "",
		"RELEASE_RELEASEWEBURL": "https://dev.azure.com/acme/x/_release?releaseId=5", "RELEASE_ENVIRONMENTNAME": "Prod",
		"RELEASE_DEPLOYMENT_STARTTIME": "2024-01-15 10:30:00Z", "RELEASE_DEPLOYMENT_REQUESTEDFOR": "Bob", "SYSTEM_JOBID": "",
	})
	circle = vars{
		"CIRCLECI": "true", "CIRCLE_WORKFLOW_ID": "w-1", "CIRCLE_WORKFLOW_JOB_ID": "j-1", "CIRCLE_PROJECT_USERNAME": "acme",
		"CIRCLE_PROJECT_REPONAME": "shop", "CIRCLE_SHA1": sha, "CIRCLE_BRANCH": "main", "CIRCLE_USERNAME": "ann",
		"CIRCLE_BUILD_URL": "https://circleci.com/gh/acme/shop/5",
	}
	buildkite = vars{
		"BUILDKITE": "true", "BUILDKITE_BUILD_ID": "bb-1", "BUILDKITE_RETRY_COUNT": "0", "BUILDKITE_JOB_ID": "jj-1",
		"BUILDKITE_PIPELINE_NAME": "Shop", "BUILDKITE_PIPELINE_SLUG": "shop", "BUILDKITE_BUILD_URL": "https://buildkite.com/acme/shop/builds/3",
		"BUILDKITE_REPO": "git@github.com:acme/shop.git", "BUILDKITE_COMMIT": sha, "BUILDKITE_BRANCH": "main",
		"BUILDKITE_PULL_REQUEST": "false", "BUILDKITE_BUILD_CREATOR": "Ann Example", "BUILDKITE_COMMAND_EXIT_STATUS": "1",
	}
	bitbucket = vars{
		"CI": "true", "BITBUCKET_BUILD_NUMBER": "31", "BITBUCKET_PIPELINE_UUID": "{11-22}", "BITBUCKET_STEP_UUID": "{33-44}",
		"BITBUCKET_STEP_RUN_NUMBER": "1", "BITBUCKET_REPO_FULL_NAME": "acme/shop", "BITBUCKET_REPO_SLUG": "shop", "BITBUCKET_COMMIT": sha,
		"BITBUCKET_BRANCH": "main", "BITBUCKET_STEP_TRIGGERER_UUID": "{55-66}", "BITBUCKET_DEPLOYMENT_ENVIRONMENT": "staging",
		"BITBUCKET_EXIT_CODE": "0",
	}
	travis = vars{
		"TRAVIS": "true", "TRAVIS_BUILD_ID": "1001", "TRAVIS_JOB_ID": "1002", "TRAVIS_REPO_SLUG": "acme/shop",
		"TRAVIS_BUILD_WEB_URL": "https://app.travis-ci.com/acme/shop/builds/1001", "TRAVIS_COMMIT": sha, "TRAVIS_BRANCH": "main",
		"TRAVIS_PULL_REQUEST": "false", "TRAVIS_TEST_RESULT": "0", "TRAVIS_JOB_RESTARTED_BY": "ann",
		"TRAVIS_COMMIT_RANGE": "c3b2c3d...a1b2c3d",
	}
	appveyor = vars{
		"CI": "True", "APPVEYOR": "True", "APPVEYOR_BUILD_ID": "501", "APPVEYOR_JOB_ID": "job5", "APPVEYOR_PROJECT_NAME": "Shop",
		"APPVEYOR_PROJECT_SLUG": "shop", "APPVEYOR_ACCOUNT_NAME": "acme", "APPVEYOR_URL": "https://ci.appveyor.com",
		"APPVEYOR_REPO_NAME": "acme/shop", "APPVEYOR_REPO_PROVIDER": "gitHub", "APPVEYOR_REPO_COMMIT": sha,
		"APPVEYOR_REPO_BRANCH": "main", "APPVEYOR_REPO_TAG": "false", "APPVEYOR_REPO_COMMIT_AUTHOR": "ann",
	}
	semaphore = vars{
		"SEMAPHORE": "true", "SEMAPHORE_PIPELINE_ID": "p-1", "SEMAPHORE_WORKFLOW_ID": "w-1", "SEMAPHORE_JOB_ID": "j-1",
		"SEMAPHORE_PIPELINE_NAME": "Deploy", "SEMAPHORE_ORGANIZATION_URL": "https://acme.semaphoreci.com",
		"SEMAPHORE_GIT_REPO_SLUG": "acme/shop", "SEMAPHORE_GIT_SHA": sha, "SEMAPHORE_GIT_WORKING_BRANCH": "main", "SEMAPHORE_GIT_BRANCH": "main",
		"SEMAPHORE_PIPELINE_PROMOTED_BY": "auto-promotion", "SEMAPHORE_WORKFLOW_TRIGGERED_BY": "ann", "SEMAPHORE_JOB_RESULT": "stopped",
		"SEMAPHORE_JOB_CREATION_TIME": "1705314600",
	}
	codefresh = vars{
		"CF_BUILD_ID": "cf-1", "CF_REPO_OWNER": "acme", "CF_REPO_NAME": "shop", "CF_PIPELINE_NAME": "shop/deploy", "CF_STEP_NAME": "notify",
		"CF_BUILD_URL": "https://g.codefresh.io/build/cf-1", "CF_REVISION": sha, "CF_BRANCH": "main", "CF_BUILD_INITIATOR": "ann",
		"CF_BUILD_TIMESTAMP": "1705314600123",
	}
	bitrise = vars{
		"CI": "true", "BITRISE_IO": "true", "BITRISE_BUILD_SLUG": "br-1", "GIT_REPOSITORY_URL": "git@github.com:acme/shop.git",
		"BITRISE_TRIGGERED_WORKFLOW_ID": "deploy", "BITRISE_BUILD_URL": "https://app.bitrise.io/build/br-1", "BITRISE_GIT_COMMIT": "",
		"GIT_CLONE_COMMIT_HASH": sha, "BITRISE_GIT_BRANCH": "main", "BITRISE_PULL_REQUEST": "false", "BITRISE_BUILD_STATUS": "1",
		"BITRISE_BUILD_TRIGGER_TIMESTAMP": "1705314600",
	}
	codemagic = vars{
		"CI": "true", "CM_BUILD_ID": "cm-1", "CM_PROJECT_ID": "app-1", "CM_REPO_SLUG": "acme/shop", "CM_COMMIT": sha, "CM_BRANCH": "main",
		"CM_PULL_REQUEST": "false", "CM_PREVIOUS_COMMIT": prevSHA, "BUILD_NUMBER": "3", "PROJECT_BUILD_NUMBER": "17",
		"CM_TEST_STEP_STATUS": "success", "CM_KEYSTORE_PASSWORD": "canary-7f3a",
	}
	xcode = vars{
		"CI": "TRUE", "CI_XCODE_CLOUD": "TRUE", "CI_BUILD_ID": "xc-1", "CI_BUILD_NUMBER": "42", "CI_BUNDLE_ID": "com.example.shop",
		"CI_BUILD_URL": "https://appstoreconnect.apple.com/teams/t/apps/1/ci/builds/xc-1", "CI_COMMIT": sha, "CI_BRANCH": "main",
		"CI_GIT_REF": "refs/heads/main", "CI_PRODUCT": "Shop", "CI_PRODUCT_PLATFORM": "iOS", "CI_WORKFLOW": "Release", "CI_START_CONDITION": "push",
		"CI_XCODEBUILD_ACTION": "archive", "CI_XCODEBUILD_EXIT_CODE": "0",
	}
	taskcluster = vars{
		"TASK_ID": "fN1SbArXTPSVFNUvaOlinQ", "RUN_ID": "0", "TASK_GROUP_ID": "KnoYE5kvQmOYpHy5M4nbKw", "TASKCLUSTER_WORKER_LOCATION": "{}",
		"TASKCLUSTER_ROOT_URL": "https://tc.example.com",
	}
	eas = vars{
		"CI": "1", "EAS_BUILD": "true", "EAS_BUILD_ID": "eas-1", "EAS_BUILD_PROFILE": "production", "EAS_BUILD_PLATFORM": "ios",
		"EAS_BUILD_RUNNER": "eas-build", "EAS_BUILD_PROJECT_ID": "prj-1", "EAS_BUILD_GIT_COMMIT_HASH": sha, "EAS_BUILD_USERNAME": "ann",
		"EAS_BUILD_STATUS": "finished",
	}
	octopus = vars{
		"TentacleHome": "/etc/octopus", "TentacleJournal": "/etc/octopus/DeploymentJournal.xml", "OctopusDeploymentId": "Deployments-123",
		"OctopusProjectName": "Shop", "OctopusEnvironmentName": "Production", "OctopusReleaseNumber": "1.2.3",
		"OctopusDeploymentCreatedByUsername": "ann",
	}
	harnessCD = vars{
		"HARNESS_BUILD_ID": "42", "HARNESS_EXECUTION_ID": "xYz", "HARNESS_STAGE_ID": "sTg", "HARNESS_PIPELINE_ID": "shop_pipeline",
		"HARNESS_ACCOUNT_ID": "acc", "HARNESS_ORG_ID": "default", "HARNESS_PROJECT_ID": "shop",
	}
	cirrus = vars{
		"CIRRUS_CI": "true", "CIRRUS_BUILD_ID": "600", "CIRRUS_TASK_ID": "601", "CIRRUS_TASK_NAME": "deploy",
		"CIRRUS_REPO_FULL_NAME": "acme/shop", "CIRRUS_CHANGE_IN_REPO": sha, "CIRRUS_BRANCH": "main",
	}
	buddy = vars{
		"BUDDY": "true", "BUDDY_PIPELINE_ID": "5", "BUDDY_EXECUTION_ID": "9", "BUDDY_PIPELINE_NAME": "Deploy", "BUDDY_REPO_SLUG": "acme/shop",
		"BUDDY_EXECUTION_URL": "https://app.buddy.works/acme/shop/9", "BUDDY_EXECUTION_REVISION": sha, "BUDDY_EXECUTION_BRANCH": "main",
		"BUDDY_INVOKER_NAME": "Ann",
	}
	teamcity = vars{
		"TEAMCITY_VERSION": "2023.11", "TEAMCITY_PROJECT_NAME": "Shop", "TEAMCITY_BUILDCONF_NAME": "Deploy", "BUILD_NUMBER": "7",
		"BUILD_URL": "https://tc.example.com/build/7", "BUILD_VCS_NUMBER": sha, "TEAMCITY_BUILD_PROPERTIES_FILE": "/tc/build.properties",
		"JENKINS_URL": "https://jenkins.example.com/",
	}
	bamboo = vars{
		"bamboo_planKey": "ACME-SHOP", "bamboo_buildResultKey": "ACME-SHOP-JOB1-7", "bamboo_shortJobKey": "JOB1",
		"bamboo_planName": "Acme - Shop", "bamboo_buildResultsUrl": "https://bamboo.example.com/browse/ACME-SHOP-7",
		"bamboo_planRepository_name": "shop", "bamboo_planRepository_revision": sha, "bamboo_planRepository_branchName": "main",
		"bamboo_ManualBuildTriggerReason_userName": "ann", "bamboo_buildFailed": "false",
		"bamboo_buildTimeStamp": "2024-01-15T11:30:00.000+01:00", "bamboo_deploy_environment": "Production",
	}
	gocd = vars{
		"GO_PIPELINE_NAME": "shop", "GO_PIPELINE_COUNTER": "11", "GO_STAGE_NAME": "deploy", "GO_STAGE_COUNTER": "2", "GO_JOB_NAME": "live",
		"GO_SERVER_URL": "https://go.example.com/go/", "GO_REVISION": sha, "GO_TRIGGER_USER": "ann", "GO_ENVIRONMENT_NAME": "prod",
		"GO_MATERIAL_BRANCH": "main", "GO_FROM_REVISION": prevSHA,
	}
	vela = vars{
		"VELA": "true", "VELA_BUILD_NUMBER": "3", "VELA_REPO_FULL_NAME": "acme/shop", "VELA_BUILD_LINK": "https://vela.example.com/acme/shop/3",
		"VELA_BUILD_COMMIT": sha, "VELA_BUILD_BRANCH": "main", "VELA_BUILD_SENDER": "ann",
	}
	screwdriver = vars{
		"SCREWDRIVER": "true", "SD_BUILD_ID": "4", "SD_JOB_ID": "5", "SD_PIPELINE_NAME": "acme/shop",
		"SD_UI_BUILD_URL": "https://cd.screwdriver.cd/pipelines/1/builds/4", "SD_BUILD_SHA": sha, "GIT_BRANCH": "origin/main",
	}
	sourcehut = vars{
		"CI_NAME": "sourcehut", "JOB_ID": "1113", "JOB_URL": "https://builds.sr.ht/~ann/job/1113", "GIT_REF": "refs/heads/main",
		"BUILD_SUBMITTER": "git.sr.ht",
	}
	codeship = vars{
		"CI_NAME": "codeship", "CI_BUILD_ID": "cs-1", "CI_REPO_NAME": "acme/shop", "CI_BUILD_URL": "https://app.codeship.com/builds/1",
		"CI_COMMIT_ID": sha, "CI_BRANCH": "main", "CI_COMMITTER_USERNAME": "ann",
	}
	prow = vars{
		"CI": "true", "PROW_JOB_ID": "pj-1", "BUILD_ID": "17", "JOB_NAME": "deploy-shop", "REPO_OWNER": "acme", "REPO_NAME": "shop",
		"PULL_BASE_SHA": sha, "PULL_BASE_REF": "main",
	}
	codebuild = vars{
		"CODEBUILD_BUILD_ID": "shop:uu-id", "CODEBUILD_BUILD_URL": "https://console.aws.amazon.com/codebuild/1",
		"CODEBUILD_SOURCE_REPO_URL": "https://github.com/acme/shop.git", "CODEBUILD_RESOLVED_SOURCE_VERSION": sha,
		"CODEBUILD_WEBHOOK_TRIGGER": "branch/main", "CODEBUILD_WEBHOOK_HEAD_REF": "refs/heads/main",
		"CODEBUILD_INITIATOR": "GitHub-Hookshot/abc", "CODEBUILD_WEBHOOK_ACTOR_ACCOUNT_ID": "4711", "CODEBUILD_BUILD_SUCCEEDING": "1",
		"CODEBUILD_START_TIME": "1705314600000", "CODEBUILD_WEBHOOK_PREV_COMMIT": zeros,
	}
	jenkins = vars{
		"JENKINS_URL": "https://jenkins.example.com/", "BUILD_TAG": "jenkins-web-shop-main-42", "JOB_NAME": "web/shop/feature%2Fx",
		"BUILD_NUMBER": "42", "BUILD_URL": "https://jenkins.example.com/job/web/42/", "GIT_URL": "https://github.com/acme/shop.git",
		"GIT_COMMIT": sha, "BRANCH_NAME": "feature/x", "GIT_BRANCH": "origin/feature/x", "BUILD_USER_ID": "ann", "BUILD_USER": "Ann Example",
		"GIT_PREVIOUS_SUCCESSFUL_COMMIT": prevSHA,
	}
	cloudbuild = vars{
		"BUILDER_OUTPUT": "/builder/outputs", "BUILD_ID": "gcb-1", "PROJECT_ID": "acme", "LOCATION": "europe-west1", "REPO_FULL_NAME": "acme/shop",
		"TRIGGER_NAME": "deploy", "COMMIT_SHA": sha, "BRANCH_NAME": "main",
	}
	argo    = vars{"ARGO_WORKFLOW_NAME": "shop-x7z", "ARGO_WORKFLOW_UID": "uid-1", "ARGO_NODE_ID": "node-1"}
	pages   = vars{"CI": "true", "CF_PAGES": "1", "CF_PAGES_COMMIT_SHA": sha, "CF_PAGES_BRANCH": "main", "CF_PAGES_URL": "https://x.shop.pages.dev"}
	workers = vars{"WORKERS_CI": "1", "WORKERS_CI_BUILD_UUID": "wu-1", "WORKERS_CI_COMMIT_SHA": sha, "WORKERS_CI_BRANCH": "main"}
	vercel  = vars{
		"VERCEL": "1", "VERCEL_DEPLOYMENT_ID": "dpl_1", "VERCEL_URL": "shop-1.vercel.app", "VERCEL_GIT_REPO_OWNER": "acme",
		"VERCEL_GIT_REPO_SLUG": "shop", "VERCEL_GIT_COMMIT_SHA": sha, "VERCEL_GIT_COMMIT_REF": "main", "VERCEL_GIT_PREVIOUS_SHA": prevSHA,
		"VERCEL_GIT_COMMIT_AUTHOR_LOGIN": "ann", "VERCEL_ENV": "preview", "VERCEL_TARGET_ENV": "qa", "VERCEL_PROJECT_ID": "prj_1",
	}
	netlify = vars{
		"NETLIFY": "true", "DEPLOY_ID": "d-1", "SITE_NAME": "shop-site", "REPOSITORY_URL": "https://x-token:canary-7f3a@github.com/acme/shop",
		"COMMIT_REF": sha, "BRANCH": "main", "HEAD": "main", "CONTEXT": "production", "CACHED_COMMIT_REF": prevSHA, "PULL_REQUEST": "false",
	}
	render = vars{
		"RENDER": "true", "RENDER_SERVICE_NAME": "shop", "RENDER_EXTERNAL_URL": "https://shop.onrender.com", "RENDER_GIT_COMMIT": sha,
		"RENDER_GIT_BRANCH": "main", "IS_PULL_REQUEST": "false",
	}
	railway = vars{
		"RAILWAY_DEPLOYMENT_ID": "rw-1", "RAILWAY_SERVICE_NAME": "shop-api", "RAILWAY_GIT_REPO_OWNER": "acme", "RAILWAY_GIT_REPO_NAME": "shop",
		"RAILWAY_GIT_COMMIT_SHA": sha, "RAILWAY_GIT_BRANCH": "main", "RAILWAY_GIT_AUTHOR": "ann", "RAILWAY_ENVIRONMENT_NAME": "production",
	}
	heroku = vars{
		"CI": "true", "HEROKU_TEST_RUN_ID": "hk-1", "HEROKU_APP_NAME": "shop", "HEROKU_TEST_RUN_COMMIT_VERSION": sha, "HEROKU_TEST_RUN_BRANCH": "main",
	}
)
