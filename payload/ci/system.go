package ci

// A system is one row of the table. It describes how to recognize a CI system
// and which of its variables hold which value. The columns are expressions, see
// expr.go. A column is empty if the system does not provide the value.
type system struct {
	id, name string
	// detect is not empty if this is the system.
	detect string
	// platform is [Run.Platform].
	platform bool
	// read reads the file that the system points to, for @path.
	read func(*scan) error
	// pipelineName extracts the pipeline's name from the job's.
	pipelineName func(s *scan, name string) string

	// pr is set if the run builds a pull request. Digits at its end are the
	// number.
	pr string
	// run is the part of the ID for the run. It includes the repository if runs
	// count per repository.
	run string
	// attempt is the part of the ID for the attempt. It has +1 if the system
	// counts from 0.
	attempt string
	// job is the part of the ID for the job.
	job string
	// shared is the part of the ID that all legs of a matrix have in common, if
	// no variable distinguishes them.
	shared string
	// repo is the path or URL of the repository.
	repo string
	// service is the name of the service if there is no repository.
	service string
	// pipeline is the name of the pipeline.
	pipeline string
	// url is the URL of the run.
	url string
	// app is the URL of the deployed app.
	app string
	// commit, branch and tag are what the run builds.
	commit, branch, tag string
	// headCommit and headBranch replace commit and branch in a pull request, if
	// commit is then the merge commit and branch the target.
	headCommit, headBranch string
	// otherCommit is the metadata name for the value of commit in such a pull
	// request. Empty means merge_commit.
	otherCommit string
	// deployed is the commit of the last successful deployment.
	deployed string
	// actor is who or what triggered the run.
	actor string
	// environment is the target, and action is GitLab's environment:action.
	environment, action string
	// status is the state of the run, and started its start.
	status, started string
	// message and author describe the commit.
	message, author string
	// keep lists other values for the metadata: "name = expression; …".
	keep string
}
