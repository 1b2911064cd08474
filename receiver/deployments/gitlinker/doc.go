// Package gitlinker counts the pull requests in a deployment from the history
// of local git repositories. It implements [deployments.Linker] for a
// [deployments.Endpoint].
//
//	linker, err := gitlinker.New(gitlinker.ByService("acme", map[string]string{
//		"api-gateway": "/srv/mirrors/api-gateway.git",
//		"my-service":  "/srv/mirrors/my-service.git",
//	}))
//	if err != nil {
//		return err
//	}
//	endpoint, err := deployments.New(keys, ledger, deployments.WithLinker(linker))
//
// It needs the git command, version 2.24 or later. It uses no network and no
// token of a code host.
//
// # What is counted
//
//	deployment                    counted commits
//	with a previous commit        reachable from the deployed commit, but
//	                              not from the previous one
//	back to an older commit       none
//	without a previous commit     the deployed commit only
//
// The previous commit need not be an ancestor, for example after a force push.
//
// A deployment of several repositories counts the pull requests of each.
// [WithRepositories] sets their directories. The previous commit of a further
// repository is the one in the previous deployment.
//
// Each pull request of a repository counts once, even if several commits name
// it. A commit names its pull request in one of these forms. If a subject ends
// with several numbers, the last one is the pull request's:
//
//	Merge pull request #12 from acme/branch            GitHub
//	Merge pull request #12 in ACME/repo from branch    Bitbucket Data Center
//	Merge pull request 12 from branch into main        Azure Repos
//	Merge pull request 'Title' (#12) from branch       Gitea, Forgejo
//	Merged in branch (pull request #12)                Bitbucket Cloud
//	Merged PR 12: Title                                Azure Repos
//	Title (#12), Title (!12)                           squashed, or merged by rebasing
//	See merge request acme/repo!12                     GitLab, in the body
//
// A pull request whose number is in no commit message is not counted. GitLab's
// fast-forward merges are an example.
//
// # Metrics
//
// A Linker also provides the commits for package dora:
//
//	calculator, err := dora.New(ledger, dora.WithCommits(linker))
//
// An unknown repository or a shallow clone gives no lead times, and the report
// says so.
//
// # Keeping the repository fresh
//
// The linker never fetches. Make a full mirror. Update it before deployments
// are reported, with a timer or a push webhook:
//
//	git clone --mirror --filter=blob:none https://github.com/acme/api-gateway.git /srv/mirrors/api-gateway.git
//	git -C /srv/mirrors/api-gateway.git fetch --prune
//
// A missing commit is [ErrUnknownCommit], and a shallow clone is [ErrShallow],
// because the number would be too low. The endpoint then records the deployment
// and answers that linking failed. Sending the deployment again links it.
//
// # Security
//
//   - Commits come from the owner of an API key. They must be 5 to 40
//     hexadecimal digits, and are looked up only as object names. They can
//     never be an option, a branch or a tag.
//   - No shell is used. git runs without the process's environment variables,
//     without system or user configuration, without prompts and replacement
//     objects, and without a transport to fetch missing objects.
//   - Time, output, commits and processes are bounded. git's whole process
//     group is killed when the context ends.
//   - A repository is found by organization and service. [ByService] serves one
//     organization, so other organizations cannot count commits in its
//     repositories.
//
// # Misuses
//
//   - A lookup that builds a path from the service's name. The sender chooses
//     the name, and it may contain "../". Use a map.
//   - A repository whose configuration strangers can write. git reads that
//     configuration.
//   - The default clone of actions/checkout, which has a depth of 1.
package gitlinker
