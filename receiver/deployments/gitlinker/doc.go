// Package gitlinker counts the pull requests that a deployment brought, from the history in a local git repository: the
// [deployments.Linker] for a [deployments.Endpoint].
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
// It runs the git command, version 2.24 or later, and needs nothing else: no network, no token of a code host.
//
// # What is counted
//
// Commits that are reachable from the deployed commit and not from the previous one, which is what a deployment brings also where the
// previous commit is no ancestor of it, after a force push for example; going back to an older commit brings nothing. Without a
// previous commit it is the deployed commit alone. Each pull request counts once, however many commits name it. A commit
// names one like this, the number at the end of the subject being the pull request's own:
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
// Pull requests that leave no trace in a message, as GitLab's fast-forward merges do, can't be seen.
//
// # Keeping the repository fresh
//
// The linker never fetches. Make a full mirror and update it before deployments are reported, from a timer or a push webhook:
//
//	git clone --mirror --filter=blob:none https://github.com/acme/api-gateway.git /srv/mirrors/api-gateway.git
//	git -C /srv/mirrors/api-gateway.git fetch --prune
//
// A commit that is not there is [ErrUnknownCommit], and a shallow clone [ErrShallow]: both would make a number that is too low. The
// endpoint then records the deployment, says that linking failed, and links when it is sent again.
//
// # Security
//
//   - Commits come from whoever holds an API key. They must be 5 to 40 hexadecimal digits and are looked up as object names,
//     never as branches or tags of that name, so they are neither options nor other revisions.
//   - No shell is used. git gets an environment of its own: no variable of ours, no system or user configuration, no
//     prompt, no replacement objects, no transport to fetch missing objects with.
//   - Time, output, commits and the number of processes are bounded; git's whole process group is killed when the context ends.
//   - A repository is found by organization and service. [ByService] is one organization's, so that another can't have commits counted
//     in repositories that are not its own.
//
// # Misuses
//
//   - A lookup that builds a path from the service's name: it is the sender's text, "../other" included. Look it up.
//   - A repository that strangers can write configuration to: git reads the repository's own.
//   - actions/checkout's default clone, which has a depth of 1.
package gitlinker
