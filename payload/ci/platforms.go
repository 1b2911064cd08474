package ci

// platforms lists the rows of platforms, in the order of detection, after
// [systems]. Their variables are also set in the running app.
var platforms = [...]system{
	{
		id: "cloudflare-pages", name: "Cloudflare Pages", detect: "$CF_PAGES", platform: true,
		url: "$CF_PAGES_URL", app: "$CF_PAGES_URL", commit: "$CF_PAGES_COMMIT_SHA", branch: "$CF_PAGES_BRANCH",
	},
	{
		id: "cloudflare-workers", name: "Cloudflare Workers Builds", detect: "$WORKERS_CI", platform: true,
		run: "$WORKERS_CI_BUILD_UUID", commit: "$WORKERS_CI_COMMIT_SHA", branch: "$WORKERS_CI_BRANCH",
	},
	{
		// VERCEL_GIT_PREVIOUS_SHA is the branch's last successful deployment.
		// The commit's author replaces the unknown actor.
		id: "vercel", name: "Vercel", detect: "$VERCEL", platform: true,
		pr: "$VERCEL_GIT_PULL_REQUEST_ID", run: "$VERCEL_DEPLOYMENT_ID",
		repo:     "$VERCEL_GIT_REPO_OWNER/$VERCEL_GIT_REPO_SLUG -> $VERCEL_GIT_REPO_SLUG",
		pipeline: "$VERCEL_PROJECT_ID -> $VERCEL_GIT_REPO_SLUG", url: "https://$VERCEL_URL", app: "https://$VERCEL_URL",
		commit: "$VERCEL_GIT_COMMIT_SHA", branch: "$VERCEL_GIT_COMMIT_REF", deployed: "$VERCEL_GIT_PREVIOUS_SHA",
		actor: "$VERCEL_GIT_COMMIT_AUTHOR_LOGIN", environment: "$VERCEL_TARGET_ENV -> $VERCEL_ENV",
		message: "$VERCEL_GIT_COMMIT_MESSAGE", author: "$VERCEL_GIT_COMMIT_AUTHOR_NAME",
	},
	{ // COMMIT_REF may be a branch. REPOSITORY_URL may contain a token.
		id: "netlify", name: "Netlify", detect: "$NETLIFY", platform: true,
		pr: "$PULL_REQUEST{false=! *=}$REVIEW_ID -> $PULL_REQUEST", run: "$DEPLOY_ID -> $BUILD_ID",
		repo: "$REPOSITORY_URL", service: "$SITE_NAME", pipeline: "$SITE_NAME",
		url: "https://app.netlify.com/sites/$SITE_NAME/deploys/$DEPLOY_ID", app: "$DEPLOY_PRIME_URL -> $DEPLOY_URL",
		commit: "$COMMIT_REF", branch: "$BRANCH", headBranch: "$HEAD", environment: "$CONTEXT",
		keep: "branch_previous_commit = $CACHED_COMMIT_REF; incoming_hook = $INCOMING_HOOK_TITLE",
	},
	{ // No variable holds the deployment's ID. The repository is not verified.
		id: "render", name: "Render", detect: "$RENDER", platform: true,
		pr: "$IS_PULL_REQUEST", repo: "$RENDER_GIT_REPO_SLUG", service: "$RENDER_SERVICE_NAME",
		pipeline: "$RENDER_SERVICE_NAME",
		url:      "$RENDER_EXTERNAL_URL", app: "$RENDER_EXTERNAL_URL", commit: "$RENDER_GIT_COMMIT",
		branch: "$RENDER_GIT_BRANCH",
	},
	{
		// Not verified, except the commit. The commit's author replaces the
		// unknown actor.
		id: "railway", name: "Railway", detect: "$RAILWAY_DEPLOYMENT_ID", platform: true,
		run: "$RAILWAY_DEPLOYMENT_ID", repo: "$RAILWAY_GIT_REPO_OWNER/$RAILWAY_GIT_REPO_NAME -> $RAILWAY_GIT_REPO_NAME",
		service: "$RAILWAY_SERVICE_NAME", pipeline: "$RAILWAY_SERVICE_NAME", app: "https://$RAILWAY_PUBLIC_DOMAIN",
		commit: "$RAILWAY_GIT_COMMIT_SHA", branch: "$RAILWAY_GIT_BRANCH", actor: "$RAILWAY_GIT_AUTHOR",
		environment: "$RAILWAY_ENVIRONMENT_NAME", message: "$RAILWAY_GIT_COMMIT_MESSAGE", author: "$RAILWAY_GIT_AUTHOR",
	},
	{
		// Covers test runs and, with the dyno metadata feature, releases. The
		// latter are not verified.
		id: "heroku", name: "Heroku", detect: "$HEROKU_TEST_RUN_ID -> $HEROKU_RELEASE_VERSION", platform: true,
		run: "$HEROKU_TEST_RUN_ID -> $HEROKU_APP_NAME/$HEROKU_RELEASE_VERSION", service: "$HEROKU_APP_NAME",
		pipeline: "$HEROKU_APP_NAME", commit: "$HEROKU_TEST_RUN_COMMIT_VERSION -> $HEROKU_SLUG_COMMIT",
		branch: "$HEROKU_TEST_RUN_BRANCH", keep: "release = $HEROKU_RELEASE_VERSION",
	},
}
