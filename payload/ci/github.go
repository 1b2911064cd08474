package ci

// The columns that Forgejo, Gitea and GitHub have in common:
//
//   - In a pull request, GITHUB_SHA is the merge commit, so the head commit
//     comes from the event file.
//   - A merged pull request no longer counts as one. The run deploys the branch
//     into which it was merged.
//   - The name of a merge queue's branch contains its target branch.
const (
	githubPR = "@pull_request.merged{true=false} -> @pull_request.number -> $GITHUB_REF{refs/pull/*/merge}" +
		" -> $GITHUB_EVENT_NAME{pull_request_target}"
	githubCommit     = "@pull_request.merged{true=}@pull_request.merge_commit_sha -> $GITHUB_SHA"
	githubHeadCommit = "@pull_request.head.sha"
	githubBranch     = "$GITHUB_REF{refs/heads/gh-readonly-queue/*/pr-* refs/heads/*}" +
		" -> $GITHUB_REF_TYPE{branch=}$GITHUB_REF_NAME"
	githubOtherCommit = "$GITHUB_EVENT_NAME{pull_request_target=base_commit}"
	githubHeadBranch  = "$GITHUB_HEAD_REF -> @pull_request.head.ref"
	githubTag         = "$GITHUB_REF{refs/tags/*} -> $GITHUB_REF_TYPE{tag=}$GITHUB_REF_NAME"
	githubKeep        = "branch_previous_commit = @before; ci_event = $GITHUB_EVENT_NAME; deployment_ref = @deployment.ref; " +
		"github_deployment = @deployment.id; triggering_run_commit = @workflow_run.head_sha; " +
		"merge_queue = $GITHUB_REF{refs/heads/gh-readonly-queue/*}"
)
