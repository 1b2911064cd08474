// Package ci fills in a deployment's record from the environment of the CI system that runs it: which commit, branch,
// pipeline and run this is, who started it, and what the system's variables say of status and start.
//
//	run, err := ci.Detect(ctx, ci.Environment{Getenv: os.Getenv, Files: os.DirFS("/"), Git: git})
//	if err != nil {
//		return err
//	}
//	run.Environment = "production" // what run.Missing names is the caller's to give
//	run.Status = payload.StatusInProgress
//	run.StartedAt = time.Now()
//	deployment := run.Deployment()
//
// [Detect] knows 37 systems: Forgejo, Gitea and GitHub Actions, Woodpecker, GitLab, Harness, Drone, Azure Pipelines,
// CircleCI, Buildkite, Bitbucket, Travis, AppVeyor, Semaphore, Codefresh, Bitrise, Cirrus, Buddy, TeamCity, Bamboo,
// GoCD, Vela, Screwdriver, SourceHut, Codeship, Prow, AWS CodeBuild, Jenkins, Google Cloud Build, Argo Workflows, and the
// platforms Cloudflare Pages and Workers, Vercel, Netlify, Render, Railway and Heroku. Tekton has no variables of its
// own: map context.pipelineRun.name and the like to the fields of [Run]. Where there is no system, git is asked.
//
// # What comes out
//
// Nothing is guessed. What a system does not say is empty and listed in [Run.Missing]; what it says and cannot be used
// (HEAD for a commit, a merge commit, a URL with a blank) is empty and explained in [Run.Problems]. Environments keep
// the system's own words. GitHub Actions has no variable for environment, status and start: pass them.
//
// Some variables are known from hearsay and not from the system's documentation or source; the table marks them "not
// verified". If they are wrong, they are not set, and the field is missing.
//
// On AppVeyor, Drone, Railway and Vercel the commit's author stands in for who triggered the run, which they do not
// say.
//
// # Security
//
//   - Only the functions of [Environment] are asked, and they only for what the table names. Variables that hold
//     tokens, such as CI_JOB_TOKEN or GITHUB_TOKEN, are not among them.
//   - User names and passwords are taken out of every URL, also in texts, in git's host:path form, and in raw values
//     that go into the metadata. From links, parameters whose name speaks of a token, key, secret or signature go too.
//   - Files are read up to 5 MiB (event) and 1 MiB (properties), only if they are regular, and only the values that the
//     table names are kept of them.
//   - A value with a control character or beyond the bounds of [payload.Deployment] is not used.
//
// Branch names, commit messages and actors are written by whoever can open a pull request. They are texts, not commands.
//
// # Misuses
//
//   - Taking a branch's previous commit for the one deployed before. Only Vercel tells the latter; the former is
//     metadata.
//   - Taking Run.Status for the deployment's outcome in the middle of a job: it is how the job stands so far.
//   - Calling Detect while an app runs to tell whether it is in CI: see [Run.Platform].
package ci
