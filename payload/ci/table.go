package ci

// systems lists the rows in the order of detection, before [platforms]. The
// first match wins. If the order matters, the row gives the reason. "Not
// verified" marks variables that no documentation or source confirms. They do
// no harm if they are never set.
var systems = [...]system{
	{
		// Before Gitea and GitHub, because Forgejo also sets their variables.
		// Runners before version 7 look like Gitea's.
		id: "forgejo-actions", name: "Forgejo Actions", detect: "$FORGEJO_ACTIONS", read: readEvent,
		pr:  githubPR,
		run: "$GITHUB_RUN_ID", attempt: "$GITHUB_RUN_ATTEMPT", job: "$GITHUB_JOB", shared: "$GITHUB_JOB",
		repo: "$GITHUB_REPOSITORY", pipeline: "$GITHUB_WORKFLOW",
		url:    "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_NUMBER",
		commit: githubCommit, branch: githubBranch, tag: githubTag, headCommit: githubHeadCommit, headBranch: githubHeadBranch, otherCommit: githubOtherCommit,
		actor: "$GITHUB_TRIGGERING_ACTOR -> $GITHUB_ACTOR", environment: "@deployment.environment",
		message: "@head_commit.message", author: "@head_commit.author.name", keep: githubKeep,
	},
	{
		// Before GitHub, because Gitea also sets its variables. The URL of a
		// run contains its number, not its ID.
		id: "gitea-actions", name: "Gitea Actions", detect: "$GITEA_ACTIONS", read: readEvent,
		pr:  githubPR,
		run: "$GITHUB_RUN_ID", attempt: "$GITHUB_RUN_ATTEMPT", job: "$GITHUB_JOB", shared: "$GITHUB_JOB",
		repo: "$GITHUB_REPOSITORY", pipeline: "$GITHUB_WORKFLOW",
		url:    "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_NUMBER",
		commit: githubCommit, branch: githubBranch, tag: githubTag, headCommit: githubHeadCommit, headBranch: githubHeadBranch, otherCommit: githubOtherCommit,
		actor: "$GITHUB_TRIGGERING_ACTOR -> $GITHUB_ACTOR", environment: "@deployment.environment",
		message: "@head_commit.message", author: "@head_commit.author.name", keep: githubKeep,
	},
	{
		// Before CodeBuild, which can host the runner. JOB_CHECK_RUN_ID is set
		// only if the workflow exports it.
		id: "github-actions", name: "GitHub Actions", detect: "$GITHUB_ACTIONS -> $GITHUB_SHA$GITHUB_ACTION",
		read: readEvent,
		pr:   githubPR,
		run:  "$GITHUB_RUN_ID", attempt: "$GITHUB_RUN_ATTEMPT", job: "$JOB_CHECK_RUN_ID -> $GITHUB_JOB", shared: "$GITHUB_JOB",
		repo: "$GITHUB_REPOSITORY", pipeline: "$GITHUB_WORKFLOW",
		url:    "$GITHUB_SERVER_URL/$GITHUB_REPOSITORY/actions/runs/$GITHUB_RUN_ID[/attempts/$GITHUB_RUN_ATTEMPT]",
		commit: githubCommit, branch: githubBranch, tag: githubTag, headCommit: githubHeadCommit, headBranch: githubHeadBranch, otherCommit: githubOtherCommit,
		actor: "$GITHUB_TRIGGERING_ACTOR -> $GITHUB_ACTOR", environment: "@deployment.environment",
		message: "@head_commit.message", author: "@head_commit.author.name", keep: githubKeep + "; local = $ACT{true=act}",
	},
	{ // Before GitLab, because Woodpecker uses the same names.
		id: "woodpecker", name: "Woodpecker CI", detect: "$CI{woodpecker} -> $CI_SYSTEM_NAME{woodpecker}",
		pr:  "$CI_COMMIT_PULL_REQUEST",
		run: "$CI_REPO/$CI_PIPELINE_NUMBER", attempt: "$CI_PIPELINE_RERUNS+1", job: "$CI_WORKFLOW_NAME[/$CI_WORKFLOW_NUMBER]",
		repo: "$CI_REPO", pipeline: "$CI_WORKFLOW_NAME", url: "$CI_PIPELINE_URL",
		commit: "$CI_COMMIT_SHA", branch: "$CI_COMMIT_BRANCH", tag: "$CI_COMMIT_TAG",
		headBranch: "$CI_COMMIT_SOURCE_BRANCH",
		actor:      "$CI_PIPELINE_AUTHOR -> $CI_COMMIT_AUTHOR", environment: "$CI_PIPELINE_DEPLOY_TARGET",
		status: "$CI_PIPELINE_STATUS", started: "$CI_PIPELINE_STARTED",
		message: "$CI_COMMIT_MESSAGE", author: "$CI_COMMIT_AUTHOR",
		keep: "branch_previous_commit = $CI_PREV_COMMIT_SHA; ci_event = $CI_PIPELINE_EVENT",
	},
	{
		// Each retry has a new job ID. The project path replaces the pipeline
		// name, which only workflow:name sets.
		id: "gitlab-ci", name: "GitLab CI", detect: "$GITLAB_CI",
		pr:  "$CI_MERGE_REQUEST_IID -> $CI_EXTERNAL_PULL_REQUEST_IID",
		run: "$CI_PIPELINE_ID", attempt: "$CI_JOB_RETRY_COUNT+1", job: "$CI_JOB_ID",
		repo: "$CI_PROJECT_PATH", service: "$CI_PROJECT_NAME",
		pipeline: "$CI_PIPELINE_NAME -> $CI_PROJECT_PATH", url: "$CI_PIPELINE_URL", app: "$CI_ENVIRONMENT_URL",
		commit: "$CI_COMMIT_SHA", branch: "$CI_COMMIT_BRANCH -> $CI_COMMIT_REF_NAME", tag: "$CI_COMMIT_TAG",
		headCommit: "$CI_MERGE_REQUEST_SOURCE_BRANCH_SHA -> $CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_SHA -> $CI_COMMIT_SHA",
		headBranch: "$CI_MERGE_REQUEST_SOURCE_BRANCH_NAME -> $CI_EXTERNAL_PULL_REQUEST_SOURCE_BRANCH_NAME",
		actor:      "$GITLAB_USER_LOGIN", environment: "$CI_ENVIRONMENT_NAME", action: "$CI_ENVIRONMENT_ACTION",
		status: "$CI_JOB_STATUS", started: "$CI_JOB_STARTED_AT -> $CI_PIPELINE_CREATED_AT",
		message: "$CI_COMMIT_MESSAGE", author: "$CI_COMMIT_AUTHOR",
		keep: "branch_previous_commit = $CI_COMMIT_BEFORE_SHA; ci_event = $CI_PIPELINE_SOURCE; job_name = $CI_JOB_NAME; " +
			"environment_tier = $CI_ENVIRONMENT_TIER; environment_action = $CI_ENVIRONMENT_ACTION",
	},
	{
		// Before Drone, because Harness CI also sets its variables. CI_REPO may
		// lack the owner. Steps of Harness CD that run in a container have the
		// HARNESS variables only. Those that run on a delegate have none.
		id: "harness", name: "Harness", detect: "$HARNESS_BUILD_ID",
		pr:  "$DRONE_PULL_REQUEST",
		run: "$HARNESS_EXECUTION_ID -> $HARNESS_BUILD_ID", job: "$HARNESS_STAGE_ID",
		repo: "$CI_REPO{*/*=! *=}$CI_REPO_REMOTE -> $CI_REPO{*/*=! *=}$DRONE_GIT_HTTP_URL" +
			" -> $CI_REPO -> $CI_REPO_REMOTE -> $DRONE_REPO",
		pipeline: "$HARNESS_PIPELINE_ID", url: "$CI_BUILD_LINK",
		commit: "$DRONE_COMMIT_SHA -> $CI_COMMIT_SHA", branch: "$DRONE_BRANCH -> $DRONE_COMMIT_BRANCH", tag: "$DRONE_TAG",
		headBranch: "$DRONE_SOURCE_BRANCH", actor: droneActor,
		message: "$DRONE_COMMIT_MESSAGE", author: "$DRONE_COMMIT_AUTHOR_NAME -> $DRONE_COMMIT_AUTHOR",
		keep: "branch_previous_commit = $DRONE_COMMIT_BEFORE; ci_event = $DRONE_BUILD_EVENT",
	},
	{
		// The status is success from the first step on. The *_FINISHED
		// variables are not used, because they hold the current time while the
		// build runs.
		id: "drone", name: "Drone", detect: "$DRONE -> $CI{drone}",
		pr:  "$DRONE_PULL_REQUEST",
		run: "$DRONE_REPO/$DRONE_BUILD_NUMBER -> $CI_REPO/$CI_BUILD_NUMBER", job: "$DRONE_STAGE_NUMBER",
		repo: "$DRONE_REPO -> $CI_REPO", pipeline: "$DRONE_STAGE_NAME", url: "$DRONE_BUILD_LINK",
		commit: "$DRONE_COMMIT_SHA", branch: "$DRONE_BRANCH", tag: "$DRONE_TAG", headBranch: "$DRONE_SOURCE_BRANCH",
		actor: droneActor, environment: "$DRONE_DEPLOY_TO",
		status: "$DRONE_STAGE_STATUS{failure} -> $DRONE_BUILD_STATUS{failure} -> $DRONE_BUILD_EVENT{rollback=rolled_back}" +
			" -> $DRONE_STAGE_STATUS -> $DRONE_BUILD_STATUS",
		started: "$DRONE_STAGE_STARTED -> $DRONE_BUILD_STARTED",
		message: "$DRONE_COMMIT_MESSAGE", author: "$DRONE_COMMIT_AUTHOR_NAME -> $DRONE_COMMIT_AUTHOR",
		keep: "branch_previous_commit = $DRONE_COMMIT_BEFORE; ci_event = $DRONE_BUILD_EVENT; " +
			"parent_build = $DRONE_BUILD_PARENT; drone_deploy_id = $DRONE_DEPLOY_ID",
	},
	{
		// Covers classic releases and YAML pipelines. Stages are not
		// environments, because many are named "Build" or "__default".
		id: "azure-pipelines", name: "Azure Pipelines", detect: "$TF_BUILD",
		pr: "$SYSTEM_PULLREQUEST_PULLREQUESTNUMBER -> $SYSTEM_PULLREQUEST_PULLREQUESTID" +
			" -> $BUILD_SOURCEBRANCH{refs/pull/*/*}",
		run: "release-$RELEASE_DEPLOYMENTID -> release-$RELEASE_RELEASEID -> $BUILD_BUILDID",
		attempt: "$RELEASE_ATTEMPTNUMBER -> $SYSTEM_STAGEATTEMPT.$SYSTEM_JOBATTEMPT" +
			" -> $SYSTEM_JOBATTEMPT -> $SYSTEM_STAGEATTEMPT",
		job: "$SYSTEM_JOBID", repo: "$BUILD_REPOSITORY_NAME", service: "$RELEASE_DEFINITIONNAME",
		pipeline: "$RELEASE_DEFINITIONNAME -> $BUILD_DEFINITIONNAME",
		url: "$RELEASE_RELEASEWEBURL" +
			" -> $SYSTEM_TEAMFOUNDATIONCOLLECTIONURI/$SYSTEM_TEAMPROJECT/_build/results?buildId=$BUILD_BUILDID",
		commit: "$BUILD_SOURCEVERSION", branch: "$BUILD_SOURCEBRANCH{refs/tags/*=! *}",
		tag:        "$BUILD_SOURCEBRANCH{refs/tags/*}",
		headCommit: "$SYSTEM_PULLREQUEST_SOURCECOMMITID", headBranch: "$SYSTEM_PULLREQUEST_SOURCEBRANCH",
		actor:       "$RELEASE_DEPLOYMENT_REQUESTEDFOR -> $BUILD_REQUESTEDFOR{GitHub=! *}",
		environment: "$ENVIRONMENT_NAME -> $RELEASE_ENVIRONMENTNAME",
		status:      "$AGENT_JOBSTATUS -> ${agent.jobstatus}",
		started:     "$RELEASE_DEPLOYMENT_STARTTIME -> $SYSTEM_PIPELINESTARTTIME",
		message:     "$BUILD_SOURCEVERSIONMESSAGE", author: "$BUILD_SOURCEVERSIONAUTHOR",
		keep: "ci_event = $BUILD_REASON; stage = $SYSTEM_STAGENAME; job_name = $SYSTEM_JOBNAME; release = $RELEASE_RELEASENAME",
	},
	{
		// A rerun is a new workflow. CIRCLE_BUILD_URL is the page of the job.
		// Parallel runs of a job share its ID.
		id: "circleci", name: "CircleCI", detect: "$CIRCLECI",
		pr:  "$CIRCLE_PR_NUMBER -> $CIRCLE_PULL_REQUEST",
		run: "$CIRCLE_WORKFLOW_ID",
		job: "$CIRCLE_WORKFLOW_JOB_ID[/$CIRCLE_NODE_TOTAL{1=! *=}$CIRCLE_NODE_INDEX]" +
			" -> $CIRCLE_BUILD_NUM[/$CIRCLE_NODE_TOTAL{1=! *=}$CIRCLE_NODE_INDEX]",
		repo:     "$CIRCLE_PROJECT_USERNAME/$CIRCLE_PROJECT_REPONAME -> $CIRCLE_REPOSITORY_URL",
		pipeline: "$CIRCLE_PROJECT_REPONAME",
		url:      "https://app.circleci.com/pipelines/workflows/$CIRCLE_WORKFLOW_ID -> $CIRCLE_BUILD_URL",
		commit:   "$CIRCLE_SHA1", branch: "$CIRCLE_BRANCH", tag: "$CIRCLE_TAG", actor: "$CIRCLE_USERNAME",
		keep: "job_name = $CIRCLE_JOB; pipeline_id = $CIRCLE_PIPELINE_ID",
	},
	{
		// In a tag's build, the branch is the tag. The commit may be HEAD.
		// Actors are display names.
		id: "buildkite", name: "Buildkite", detect: "$BUILDKITE",
		pr:  "$BUILDKITE_PULL_REQUEST",
		run: "$BUILDKITE_BUILD_ID", attempt: "$BUILDKITE_RETRY_COUNT+1", job: "$BUILDKITE_JOB_ID",
		repo: "$BUILDKITE_REPO", pipeline: "$BUILDKITE_PIPELINE_NAME -> $BUILDKITE_PIPELINE_SLUG",
		service: "$BUILDKITE_PIPELINE_SLUG",
		url:     "$BUILDKITE_BUILD_URL", commit: "$BUILDKITE_COMMIT", branch: "$BUILDKITE_BRANCH", tag: "$BUILDKITE_TAG",
		actor:       "$BUILDKITE_UNBLOCKER -> $BUILDKITE_BUILD_CREATOR",
		environment: "$BUILDKITE_GITHUB_DEPLOYMENT_ENVIRONMENT", status: "$BUILDKITE_COMMAND_EXIT_STATUS",
		message: "$BUILDKITE_MESSAGE", author: "$BUILDKITE_BUILD_AUTHOR",
		keep: "ci_event = $BUILDKITE_SOURCE; build_number = $BUILDKITE_BUILD_NUMBER",
	},
	{ // The commit may have 12 digits. The actor is a UUID.
		id: "bitbucket-pipelines", name: "Bitbucket Pipelines", detect: "$BITBUCKET_BUILD_NUMBER -> $BITBUCKET_COMMIT",
		pr:      "$BITBUCKET_PR_ID",
		run:     "$BITBUCKET_PIPELINE_UUID -> $BITBUCKET_REPO_FULL_NAME/$BITBUCKET_BUILD_NUMBER",
		attempt: "$BITBUCKET_STEP_RUN_NUMBER", job: "$BITBUCKET_STEP_UUID",
		repo: "$BITBUCKET_REPO_FULL_NAME -> $BITBUCKET_REPO_SLUG", pipeline: "$BITBUCKET_REPO_FULL_NAME",
		url:    "https://bitbucket.org/$BITBUCKET_REPO_FULL_NAME/pipelines/results/$BITBUCKET_BUILD_NUMBER",
		commit: "$BITBUCKET_COMMIT", branch: "$BITBUCKET_BRANCH", tag: "$BITBUCKET_TAG",
		actor:       "$BITBUCKET_STEP_TRIGGERER_UUID",
		environment: "$BITBUCKET_DEPLOYMENT_ENVIRONMENT", status: "$BITBUCKET_EXIT_CODE",
		keep: "build_number = $BITBUCKET_BUILD_NUMBER; pull_request_target_commit = $BITBUCKET_PR_DESTINATION_COMMIT",
	},
	{
		// TRAVIS_BRANCH is the pull request's target, or the tag. A restarted
		// build has the same IDs, so a second restart looks like the first.
		id: "travis-ci", name: "Travis CI", detect: "$TRAVIS",
		pr:  "$TRAVIS_PULL_REQUEST",
		run: "$TRAVIS_BUILD_ID", attempt: "$TRAVIS_JOB_RESTARTED{true=2}", job: "$TRAVIS_JOB_ID",
		repo: "$TRAVIS_REPO_SLUG", pipeline: "$TRAVIS_REPO_SLUG", url: "$TRAVIS_BUILD_WEB_URL",
		commit: "$TRAVIS_COMMIT", branch: "$TRAVIS_BRANCH", tag: "$TRAVIS_TAG",
		headCommit: "$TRAVIS_PULL_REQUEST_SHA", headBranch: "$TRAVIS_PULL_REQUEST_BRANCH",
		actor: "$TRAVIS_JOB_RESTARTED_BY", status: "$TRAVIS_TEST_RESULT", message: "$TRAVIS_COMMIT_MESSAGE",
		keep: "ci_event = $TRAVIS_EVENT_TYPE; branch_commit_range = $TRAVIS_COMMIT_RANGE",
	},
	{
		// APPVEYOR_REPO_BRANCH is the pull request's target. The commit's
		// author replaces the unknown actor.
		id: "appveyor", name: "AppVeyor", detect: "$APPVEYOR",
		pr:  "$APPVEYOR_PULL_REQUEST_NUMBER",
		run: "$APPVEYOR_BUILD_ID", attempt: "$APPVEYOR_RE_BUILD{True=2 true=2}", job: "$APPVEYOR_JOB_ID",
		repo: "$APPVEYOR_REPO_NAME", service: "$APPVEYOR_PROJECT_SLUG", pipeline: "$APPVEYOR_PROJECT_NAME",
		url:    "$APPVEYOR_URL/project/$APPVEYOR_ACCOUNT_NAME/$APPVEYOR_PROJECT_SLUG/builds/$APPVEYOR_BUILD_ID",
		commit: "$APPVEYOR_REPO_COMMIT", branch: "$APPVEYOR_REPO_BRANCH",
		tag:        "$APPVEYOR_REPO_TAG{true= True=}$APPVEYOR_REPO_TAG_NAME",
		headCommit: "$APPVEYOR_PULL_REQUEST_HEAD_COMMIT", headBranch: "$APPVEYOR_PULL_REQUEST_HEAD_REPO_BRANCH",
		actor:   "$APPVEYOR_REPO_COMMIT_AUTHOR",
		message: "$APPVEYOR_REPO_COMMIT_MESSAGE[\n\n$APPVEYOR_REPO_COMMIT_MESSAGE_EXTENDED]",
		author:  "$APPVEYOR_REPO_COMMIT_AUTHOR",
		keep:    "repository_provider = $APPVEYOR_REPO_PROVIDER",
	},
	{
		// SEMAPHORE_GIT_BRANCH is the pull request's target. The format of the
		// URL is not verified.
		id: "semaphore", name: "Semaphore", detect: "$SEMAPHORE",
		pr:      "$SEMAPHORE_GIT_PR_NUMBER",
		run:     "$SEMAPHORE_PIPELINE_ID -> $SEMAPHORE_WORKFLOW_ID",
		attempt: "$SEMAPHORE_PIPELINE_RERUN{true=2} -> $SEMAPHORE_WORKFLOW_RERUN{true=2}", job: "$SEMAPHORE_JOB_ID",
		repo: "$SEMAPHORE_GIT_REPO_SLUG", service: "$SEMAPHORE_PROJECT_NAME", pipeline: "$SEMAPHORE_PIPELINE_NAME",
		url:    "$SEMAPHORE_ORGANIZATION_URL/workflows/$SEMAPHORE_WORKFLOW_ID[?pipeline_id=$SEMAPHORE_PIPELINE_ID]",
		commit: "$SEMAPHORE_GIT_SHA", branch: "$SEMAPHORE_GIT_WORKING_BRANCH -> $SEMAPHORE_GIT_BRANCH",
		tag:        "$SEMAPHORE_GIT_TAG_NAME",
		headCommit: "$SEMAPHORE_GIT_PR_SHA", headBranch: "$SEMAPHORE_GIT_WORKING_BRANCH -> $SEMAPHORE_GIT_PR_BRANCH",
		actor:   "$SEMAPHORE_PIPELINE_PROMOTED_BY{auto-promotion=! *} -> $SEMAPHORE_WORKFLOW_TRIGGERED_BY",
		status:  "$SEMAPHORE_JOB_RESULT -> $SEMAPHORE_PIPELINE_RESULT",
		started: "$SEMAPHORE_PIPELINE_STARTED_AT -> $SEMAPHORE_JOB_CREATION_TIME",
		keep:    "branch_commit_range = $SEMAPHORE_GIT_COMMIT_RANGE; job_name = $SEMAPHORE_JOB_NAME",
	},
	{
		// Detected by an exact name, because Cloudflare and Cloud Foundry also
		// use the prefix CF_. The timestamp is not verified.
		id: "codefresh", name: "Codefresh", detect: "$CF_BUILD_ID",
		pr: "$CF_PULL_REQUEST_NUMBER", run: "$CF_BUILD_ID",
		repo: "$CF_REPO_OWNER/$CF_REPO_NAME -> $CF_REPO_NAME", pipeline: "$CF_PIPELINE_NAME", url: "$CF_BUILD_URL",
		commit: "$CF_REVISION", branch: "$CF_BRANCH{tags/*=! refs/tags/*=! *}",
		tag:   "$CF_RELEASE_TAG -> $CF_BRANCH{tags/*}",
		actor: "$CF_BUILD_INITIATOR", started: "$CF_BUILD_TIMESTAMP",
		message: "$CF_COMMIT_MESSAGE", author: "$CF_COMMIT_AUTHOR",
	},
	{ // In manual builds, the commit is often empty until the clone step.
		id: "bitrise", name: "Bitrise", detect: "$BITRISE_IO -> $BITRISE_BUILD_SLUG",
		pr: "$BITRISE_PULL_REQUEST", run: "$BITRISE_BUILD_SLUG",
		repo: "$GIT_REPOSITORY_URL", service: "$BITRISE_APP_TITLE",
		pipeline: "$BITRISE_TRIGGERED_WORKFLOW_TITLE -> $BITRISE_TRIGGERED_WORKFLOW_ID", url: "$BITRISE_BUILD_URL",
		commit: "$BITRISE_GIT_COMMIT -> $GIT_CLONE_COMMIT_HASH", branch: "$BITRISE_GIT_BRANCH", tag: "$BITRISE_GIT_TAG",
		status: "$BITRISE_BUILD_STATUS", started: "$BITRISE_BUILD_TRIGGER_TIMESTAMP", message: "$BITRISE_GIT_MESSAGE",
	},
	{
		// The branch of a pull request is pull/N. The system does not tell the
		// actor.
		id: "cirrus-ci", name: "Cirrus CI", detect: "$CIRRUS_CI",
		pr: "$CIRRUS_PR", run: "$CIRRUS_BUILD_ID", job: "$CIRRUS_TASK_ID",
		repo: "$CIRRUS_REPO_FULL_NAME", pipeline: "$CIRRUS_TASK_NAME", url: "https://cirrus-ci.com/build/$CIRRUS_BUILD_ID",
		commit: "$CIRRUS_CHANGE_IN_REPO", branch: "$CIRRUS_BRANCH", tag: "$CIRRUS_TAG", message: "$CIRRUS_CHANGE_MESSAGE",
		keep: "branch_last_green_commit = $CIRRUS_LAST_GREEN_CHANGE; pull_request_base_commit = $CIRRUS_BASE_SHA",
	},
	{
		// In pull requests, the commit and the branch are the source's. No
		// variable names the workflow. The format of the URL is not verified.
		id: "codemagic", name: "Codemagic", detect: "$CM_BUILD_ID",
		pr:  "$CM_PULL_REQUEST{true=}$CM_PULL_REQUEST_NUMBER -> $CM_PULL_REQUEST",
		run: "$CM_BUILD_ID", repo: "$CM_REPO_SLUG", pipeline: "$CM_REPO_SLUG",
		url:    "https://codemagic.io/app/$CM_PROJECT_ID/build/$CM_BUILD_ID",
		commit: "$CM_COMMIT", branch: "$CM_BRANCH", tag: "$CM_TAG",
		keep: "branch_previous_commit = $CM_PREVIOUS_COMMIT; build_number = $PROJECT_BUILD_NUMBER",
	},
	{
		// Each action of a build runs in an environment of its own. The exit
		// code is known after xcodebuild has run. Only pull requests name the
		// repository, so the product is the service.
		id: "xcode-cloud", name: "Xcode Cloud", detect: "$CI_XCODE_CLOUD -> $CI_XCODEBUILD_ACTION$CI_WORKFLOW",
		pr:  "$CI_PULL_REQUEST_NUMBER",
		run: "$CI_BUILD_ID", job: "$CI_XCODEBUILD_ACTION[/$CI_PRODUCT_PLATFORM]",
		service: "$CI_PRODUCT", pipeline: "$CI_WORKFLOW", url: "$CI_BUILD_URL",
		commit: "$CI_COMMIT", branch: "$CI_BRANCH", tag: "$CI_TAG",
		headCommit: "$CI_PULL_REQUEST_SOURCE_COMMIT", headBranch: "$CI_PULL_REQUEST_SOURCE_BRANCH",
		status: "$CI_XCODEBUILD_EXIT_CODE",
		keep:   "ci_event = $CI_START_CONDITION; build_number = $CI_BUILD_NUMBER; bundle_id = $CI_BUNDLE_ID",
	},
	{ // The actor and the previous revision are not verified.
		id: "buddy", name: "Buddy", detect: "$BUDDY -> $BUDDY_WORKSPACE_ID",
		pr:   "$BUDDY_EXECUTION_PULL_REQUEST_NO -> $BUDDY_EXECUTION_PULL_REQUEST_ID",
		run:  "$BUDDY_PIPELINE_ID/$BUDDY_EXECUTION_ID",
		repo: "$BUDDY_REPO_SLUG", pipeline: "$BUDDY_PIPELINE_NAME", url: "$BUDDY_EXECUTION_URL",
		commit: "$BUDDY_EXECUTION_REVISION", branch: "$BUDDY_EXECUTION_BRANCH", tag: "$BUDDY_EXECUTION_TAG",
		headBranch: "$BUDDY_EXECUTION_PULL_REQUEST_HEAD_BRANCH", actor: "$BUDDY_INVOKER_NAME",
		message: "$BUDDY_EXECUTION_REVISION_MESSAGE",
		keep:    "branch_previous_commit = $BUDDY_EXECUTION_PREVIOUS_REVISION",
	},
	{
		// Before Jenkins, because TeamCity also sets BUILD_NUMBER and
		// BUILD_URL. The other values are in files.
		id: "teamcity", name: "TeamCity", detect: "$TEAMCITY_VERSION", read: readProperties,
		pr:   "@teamcity.pullRequest.number",
		run:  "@teamcity.build.id -> $TEAMCITY_PROJECT_NAME/$TEAMCITY_BUILDCONF_NAME/$BUILD_NUMBER",
		repo: "", service: "$TEAMCITY_PROJECT_NAME", pipeline: "$TEAMCITY_BUILDCONF_NAME",
		url:    "$BUILD_URL -> @teamcity.serverUrl/viewLog.html?buildId=@teamcity.build.id",
		commit: "$BUILD_VCS_NUMBER -> @build.vcs.number", branch: "@teamcity.build.branch{<default>=! *} -> $Git_Branch",
		headBranch: "@teamcity.pullRequest.source.branch",
		actor:      "@teamcity.build.triggeredBy.username -> @teamcity.build.triggeredBy",
		keep:       "build_number = $BUILD_NUMBER",
	},
	{
		// The names are in lower case. The names in deployment projects and the
		// actor are not verified.
		id: "bamboo", name: "Bamboo", detect: "$bamboo_planKey -> $bamboo_agentId",
		pr:  "$bamboo_repository_pr_key",
		run: "$bamboo_buildResultKey", job: "$bamboo_shortJobKey",
		repo: "$bamboo_planRepository_repositoryUrl -> $bamboo_planRepository_name", service: "$bamboo_deploy_project",
		pipeline: "$bamboo_planName", url: "$bamboo_buildResultsUrl -> $bamboo_resultsUrl",
		commit:     "$bamboo_planRepository_revision -> $bamboo_planRepository_1_revision",
		branch:     "$bamboo_planRepository_branchName -> $bamboo_planRepository_1_branchName",
		headBranch: "$bamboo_repository_pr_sourceBranch",
		actor:      "$bamboo_ManualBuildTriggerReason_userName", environment: "$bamboo_deploy_environment",
		status: "$bamboo_buildFailed{true=failure false=success}", started: "$bamboo_buildTimeStamp",
		keep: "branch_previous_commit = $bamboo_planRepository_previousRevision",
	},
	{
		// Detected by an exact name, because Go's own tools use the prefix GO.
		// The format of the URL is not verified.
		id: "gocd", name: "GoCD", detect: "$GO_PIPELINE_NAME -> $GO_PIPELINE_LABEL",
		run: "$GO_PIPELINE_NAME/$GO_PIPELINE_COUNTER", attempt: "$GO_STAGE_COUNTER",
		job:     "$GO_STAGE_NAME/$GO_JOB_NAME[/$GO_JOB_RUN_INDEX] -> $GO_JOB_NAME",
		service: "$GO_PIPELINE_NAME", pipeline: "$GO_PIPELINE_NAME",
		url:    "$GO_SERVER_URL/pipelines/$GO_PIPELINE_NAME/$GO_PIPELINE_COUNTER/$GO_STAGE_NAME/$GO_STAGE_COUNTER",
		commit: "$GO_REVISION -> $GO_TO_REVISION", branch: "$GO_MATERIAL_BRANCH", actor: "$GO_TRIGGER_USER",
		environment: "$GO_ENVIRONMENT_NAME",
		keep:        "branch_previous_commit = $GO_FROM_REVISION; pipeline_label = $GO_PIPELINE_LABEL",
	},
	{
		id: "vela", name: "Vela", detect: "$VELA",
		pr:   "$VELA_BUILD_PULL_REQUEST -> $VELA_PULL_REQUEST",
		run:  "$VELA_REPO_FULL_NAME/$VELA_BUILD_NUMBER",
		repo: "$VELA_REPO_FULL_NAME", pipeline: "$VELA_REPO_FULL_NAME", url: "$VELA_BUILD_LINK",
		commit: "$VELA_BUILD_COMMIT", branch: "$VELA_BUILD_BRANCH", tag: "$VELA_BUILD_TAG",
		headBranch: "$VELA_PULL_REQUEST_SOURCE",
		actor:      "$VELA_BUILD_SENDER -> $VELA_BUILD_AUTHOR", environment: "$VELA_DEPLOYMENT -> $VELA_BUILD_TARGET",
		message: "$VELA_BUILD_MESSAGE", author: "$VELA_BUILD_AUTHOR",
	},
	{
		id: "screwdriver", name: "Screwdriver", detect: "$SCREWDRIVER",
		pr: "$SD_PULL_REQUEST", run: "$SD_BUILD_ID", job: "$SD_JOB_ID",
		repo: "$SD_PIPELINE_NAME", pipeline: "$SD_PIPELINE_NAME", url: "$SD_UI_BUILD_URL",
		commit: "$SD_BUILD_SHA", branch: "$GIT_BRANCH{origin/refs/*=! origin/* *}",
		headBranch: "$PR_BRANCH_NAME{origin/* *}",
		keep:       "job_name = $SD_JOB_NAME",
	},
	{ // GIT_REF is not verified. The commit comes from git.
		id: "sourcehut", name: "SourceHut", detect: "$CI_NAME{sourcehut}",
		run: "$JOB_ID", url: "$JOB_URL", branch: "$GIT_REF{refs/heads/*}", tag: "$GIT_REF{refs/tags/*}",
		actor: "$BUILD_SUBMITTER", keep: "ci_event = $BUILD_REASON",
	},
	{
		id: "codeship", name: "Codeship", detect: "$CI_NAME{codeship}",
		run:  "$CI_BUILD_ID -> $CI_REPO_NAME/$CI_BUILD_NUMBER",
		repo: "$CI_REPO_NAME", pipeline: "$CI_REPO_NAME", url: "$CI_BUILD_URL",
		commit: "$CI_COMMIT_ID", branch: "$CI_BRANCH", actor: "$CI_COMMITTER_USERNAME -> $CI_COMMITTER_NAME",
		message: "$CI_MESSAGE -> $CI_COMMIT_MESSAGE", author: "$CI_COMMITTER_NAME",
	},
	{
		// Before Jenkins, because Prow also sets JOB_NAME and BUILD_ID. The
		// system tells neither the actor nor the URL of the run.
		id: "prow", name: "Prow", detect: "$PROW_JOB_ID",
		pr: "$PULL_NUMBER", run: "$PROW_JOB_ID", job: "$BUILD_ID",
		repo: "$REPO_OWNER/$REPO_NAME", pipeline: "$JOB_NAME",
		commit: "$PULL_BASE_SHA", otherCommit: "base_commit", branch: "$PULL_BASE_REF", headCommit: "$PULL_PULL_SHA", headBranch: "$PULL_HEAD_REF",
		keep: "ci_event = $JOB_TYPE",
	},
	{
		// After all systems whose runners it can host. The version of an S3
		// source is not a commit.
		id: "aws-codebuild", name: "AWS CodeBuild", detect: "$CODEBUILD_BUILD_ID -> $CODEBUILD_CI",
		pr:  "$CODEBUILD_WEBHOOK_TRIGGER{pr/*}",
		run: "$CODEBUILD_BUILD_ID", job: "$CODEBUILD_BATCH_BUILD_IDENTIFIER",
		repo: "$CODEBUILD_SOURCE_REPO_URL", pipeline: "$CODEBUILD_INITIATOR{codepipeline/*} -> $CODEBUILD_BUILD_ID{*:*}",
		url:    "$CODEBUILD_PUBLIC_BUILD_URL -> $CODEBUILD_BUILD_URL",
		commit: "$CODEBUILD_RESOLVED_SOURCE_VERSION", tag: "$CODEBUILD_WEBHOOK_TRIGGER{tag/*}",
		branch:     "$CODEBUILD_WEBHOOK_TRIGGER{branch/*} -> $CODEBUILD_WEBHOOK_HEAD_REF{refs/heads/*}",
		headBranch: "$CODEBUILD_WEBHOOK_HEAD_REF{refs/heads/*}",
		actor:      "$CODEBUILD_INITIATOR{GitHub-Hookshot/*=! *} -> $CODEBUILD_WEBHOOK_ACTOR_ACCOUNT_ID",
		status:     "$CODEBUILD_BUILD_SUCCEEDING{1=success 0=failure}", started: "$CODEBUILD_START_TIME",
		keep: "branch_previous_commit = $CODEBUILD_WEBHOOK_PREV_COMMIT; ci_event = $CODEBUILD_WEBHOOK_EVENT",
	},
	{
		// Late in the table, because processes that agents start inherit
		// JENKINS_URL. It is not verified that GIT_COMMIT of a PR-N build is
		// the head commit.
		id: "jenkins", name: "Jenkins", detect: "$JENKINS_URL -> $BUILD_TAG{jenkins-*}",
		pr:  "$CHANGE_ID -> $ghprbPullId -> $gitlabMergeRequestIid",
		run: "$BUILD_TAG -> $JOB_NAME/$BUILD_NUMBER", shared: "$BUILD_TAG -> $JOB_NAME/$BUILD_NUMBER", repo: "$GIT_URL -> $GIT_URL_1",
		pipeline: "$JOB_NAME", pipelineName: jenkinsPipeline, url: "$BUILD_URL -> $RUN_DISPLAY_URL",
		commit: "$ghprbActualCommit -> $GIT_COMMIT",
		branch: "$BRANCH_NAME -> $GIT_LOCAL_BRANCH{detached=! *} -> $GIT_BRANCH{detached=! refs/tags/*=! origin/tags/*=! tags/*=!" +
			" refs/remotes/origin/* refs/heads/* origin/* *}",
		tag: "$TAG_NAME -> $gitlabActionType{TAG_PUSH=}$gitlabBranch{refs/tags/* *}" +
			" -> $GIT_BRANCH{refs/tags/* origin/tags/* tags/*}",
		headCommit: "$ghprbActualCommit -> $gitlabMergeRequestLastCommit -> $BRANCH_NAME{PR-*-merge=! *=}$GIT_COMMIT",
		headBranch: "$CHANGE_BRANCH -> $ghprbSourceBranch -> $gitlabSourceBranch",
		actor:      "$BUILD_USER_ID -> $BUILD_USER -> $CHANGE_AUTHOR -> $gitlabUserUsername -> $gitlabUserName",
		keep: "branch_previous_commit = $GIT_PREVIOUS_SUCCESSFUL_COMMIT -> $GIT_PREVIOUS_COMMIT; build_number = $BUILD_NUMBER; " +
			"job_name = $JOB_NAME",
	},
	{
		// Substitutions are variables only if cloudbuild.yaml maps them under
		// their own names.
		id: "google-cloud-build", name: "Google Cloud Build",
		detect: "$BUILDER_OUTPUT -> $BUILD_ID$PROJECT_ID$PROJECT_NUMBER$LOCATION",
		pr:     "$_PR_NUMBER", run: "$BUILD_ID", repo: "$REPO_FULL_NAME -> $REPO_NAME", pipeline: "$TRIGGER_NAME",
		url:    "https://console.cloud.google.com/cloud-build/builds;region=$LOCATION/$BUILD_ID?project=$PROJECT_ID",
		commit: "$COMMIT_SHA -> $REVISION_ID", branch: "$BRANCH_NAME", tag: "$TAG_NAME", headBranch: "$_HEAD_BRANCH",
	},
	{
		// Not verified. Argo sets few variables itself. A workflow maps the
		// others.
		id: "argo-workflows", name: "Argo Workflows", detect: "$ARGO_WORKFLOW_NAME -> $ARGO_NODE_ID",
		run: "$ARGO_WORKFLOW_UID -> $ARGO_WORKFLOW_NAME", pipeline: "$ARGO_WORKFLOW_NAME",
	},
	{
		// The worker sets these variables. A task's own ones name its commit,
		// under names that each project chooses. The format of the URL is that
		// of the web interface.
		id: "taskcluster", name: "Taskcluster", detect: "$TASKCLUSTER_ROOT_URL$TASK_ID",
		run: "$TASK_ID", attempt: "$RUN_ID+1",
		url:  "$TASKCLUSTER_ROOT_URL/tasks/$TASK_ID[/runs/$RUN_ID]",
		keep: "task_group = $TASK_GROUP_ID",
	},
	{
		// After the systems on which people run "eas build --local", which sets
		// these variables, too. A build profile is not an environment.
		id: "eas-build", name: "Expo EAS Build", detect: "$EAS_BUILD",
		run: "$EAS_BUILD_ID", pipeline: "$EAS_BUILD_PROFILE", commit: "$EAS_BUILD_GIT_COMMIT_HASH",
		actor: "$EAS_BUILD_USERNAME", status: "$EAS_BUILD_STATUS{finished=success *}",
		keep: "build_profile = $EAS_BUILD_PROFILE; app_platform = $EAS_BUILD_PLATFORM; " +
			"build_runner = $EAS_BUILD_RUNNER; eas_project = $EAS_BUILD_PROJECT_ID",
	},
	{
		// After all others, because what a Tentacle starts inherits its
		// variables. Octopus gives its values to scripts as variables of the
		// script's language. A script exports them under the names that
		// PowerShell has for them.
		id: "octopus-deploy", name: "Octopus Deploy", detect: "$TentacleJournal -> $OctopusDeploymentId",
		run: "$OctopusDeploymentId -> $OctopusRunbookRunId", service: "$OctopusProjectName",
		pipeline: "$OctopusProjectName", actor: "$OctopusDeploymentCreatedByUsername",
		environment: "$OctopusEnvironmentName", keep: "release = $OctopusReleaseNumber",
	},
}

// droneActor is a login. For runs that Drone starts, it is the schedule or the
// commit's author.
const droneActor = "$DRONE_BUILD_TRIGGER{@cron=schedule @*=! *} -> $DRONE_COMMIT_AUTHOR"
