// Package ci fills in a deployment record from the environment of the CI system
// that runs it. It finds the commit, the branch, the pipeline, the run and who
// started it. It also finds the status and the start if the system's variables
// tell them.
//
//	run, err := ci.Detect(ctx, ci.Environment{
//		Getenv: os.Getenv,
//		Files:  os.DirFS("/"),
//		Git:    runGit, // your function that runs git, or leave it out
//	})
//	if err != nil {
//		return err
//	}
//	run.Environment = "production" // set everything that run.Missing names
//	run.Status = payload.StatusInProgress
//	run.StartedAt = time.Now()
//	deployment := run.Deployment() // or run.Event, to send it with a Sender
//
// [Detect] knows 42 systems:
//
//   - Forgejo, Gitea and GitHub Actions, GitLab and Woodpecker
//   - Drone, Harness, Azure Pipelines, CircleCI, Buildkite, Bitbucket, Travis,
//     AppVeyor and Semaphore
//   - Codefresh, Bitrise, Codemagic, Xcode Cloud, Expo EAS Build, Cirrus,
//     Buddy, TeamCity, Bamboo, GoCD, Vela, Screwdriver, SourceHut and Codeship
//   - Prow, AWS CodeBuild, Jenkins, Google Cloud Build, Argo Workflows,
//     Taskcluster and Octopus Deploy
//   - the platforms Cloudflare Pages and Workers, Vercel, Netlify, Render,
//     Railway and Heroku
//
// If no system is found, Detect asks git.
//
// These systems set few variables or none. Map their values to the fields of
// [Run], or to variables in the environment of the program:
//
//   - Tekton has values such as context.pipelineRun.name.
//   - Octopus Deploy gives its values to scripts, but not to the programs that
//     scripts start. Detect reads OctopusDeploymentId, OctopusProjectName,
//     OctopusEnvironmentName, OctopusReleaseNumber and
//     OctopusDeploymentCreatedByUsername if a script exports them.
//   - Harness CD sets variables only in steps that run in a container. In a
//     step on a delegate, set HARNESS_BUILD_ID to <+pipeline.sequenceId>,
//     HARNESS_EXECUTION_ID to <+pipeline.executionId> and HARNESS_PIPELINE_ID
//     to <+pipeline.identifier>.
//   - Spinnaker runs no shell. A Jenkins job that it starts is found as
//     Jenkins. A Kubernetes job has what the pipeline puts into its manifest.
//
// # Results
//
// Detect never guesses. A value that the system does not provide stays empty
// and is listed in [Run.Missing]. An unusable value, such as HEAD, a merge
// commit or a URL with a blank, also stays empty and is explained in
// [Run.Problems]. Environments keep the system's own names. GitHub Actions has
// no variable for environment, status and start, so set them yourself.
//
// A few variables are not confirmed by the system's documentation or source
// code. The table marks them "not verified". If such a variable does not exist,
// the field is missing.
//
// AppVeyor, Drone, Railway and Vercel do not tell who triggered the run. Detect
// uses the author of the commit instead.
//
// # Security
//
//   - Detect calls only the functions of [Environment], and only for the
//     variables in the table. Those do not include variables that hold tokens,
//     such as CI_JOB_TOKEN or GITHUB_TOKEN.
//   - Detect removes user names and passwords from every URL. This includes
//     URLs within texts, git's host:path form, and raw values for the metadata.
//     It also removes link parameters whose name suggests a token, key, secret
//     or signature.
//   - Detect reads only regular files, up to 5 MiB (event) and 1 MiB
//     (properties). It keeps only the values that the table names.
//   - Detect rejects a value that has a control character or exceeds the limits
//     of [payload.Deployment].
//
// Anyone who can open a pull request chooses branch names, commit messages and
// actors. Treat them as texts, not as commands.
//
// # Common mistakes
//
//   - A branch's previous commit is not the previously deployed commit. Only
//     Vercel provides the latter. The former is in the metadata.
//   - In the middle of a job, Run.Status is the state of the job so far, not
//     the outcome of the deployment.
//   - Do not call Detect in a running app to learn whether it is in CI. See
//     [Run.Platform].
package ci
