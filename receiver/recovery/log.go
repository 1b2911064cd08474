package recovery

import (
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"time"
)

// Log names the delivery log of one webhook. Make it with [GitHubApp],
// [GitHubOrganization], [GitHubRepository], [GitLabProject] or [GitLabGroup].
type Log struct {
	platform platform
	path     string // below the URL of the API
	name     string // for logs
	mistake  string
}

// String returns a name for logs and people.
func (l Log) String() string { return l.name }

// GitHubApp is the log of the webhook of a GitHub App. Its token is the App's
// JWT, see [GitHubAppToken].
func GitHubApp() Log {
	return Log{platform: gitHub{}, path: "/app/hook/deliveries", name: "GitHub App"}
}

// GitHubOrganization is the log of an organization's webhook. Its token needs
// the organization permission "Webhooks" (read and write), or the scope
// admin:org_hook.
func GitHubOrganization(organization string, hookID int64) Log {
	l := Log{
		platform: gitHub{}, path: "/orgs/" + organization + "/hooks/" + strconv.FormatInt(hookID, 10) + "/deliveries",
		name: fmt.Sprintf("GitHub organization %.100s, webhook %d", organization, hookID),
	}
	l.check("GitHubOrganization", gitHubName, hookID, organization)
	return l
}

// GitHubRepository is the log of a repository's webhook. Its token needs the
// repository permission "Webhooks" (read and write), or the scope
// admin:repo_hook.
func GitHubRepository(owner, repository string, hookID int64) Log {
	l := Log{
		platform: gitHub{}, path: "/repos/" + owner + "/" + repository + "/hooks/" + strconv.FormatInt(hookID, 10) + "/deliveries",
		name: fmt.Sprintf("GitHub repository %.100s/%.100s, webhook %d", owner, repository, hookID),
	}
	l.check("GitHubRepository", gitHubName, hookID, owner, repository)
	return l
}

// GitLabProject is the log of a project's webhook. The project is its number,
// or its path such as "acme/tools/api". The token needs the scope api and the
// role Maintainer.
func GitLabProject(project string, hookID int64) Log {
	return gitLabLog("GitLabProject", "project", project, hookID)
}

// GitLabGroup is the log of a group's webhook. The group is its number, or its
// path such as "acme/tools". The token needs the scope api and the role Owner.
func GitLabGroup(group string, hookID int64) Log {
	return gitLabLog("GitLabGroup", "group", group, hookID)
}

func gitLabLog(function, kind, id string, hookID int64) Log {
	l := Log{
		platform: gitLab{}, path: "/" + kind + "s/" + url.PathEscape(id) + "/hooks/" + strconv.FormatInt(hookID, 10) + "/events",
		name: fmt.Sprintf("GitLab %s %.200s, webhook %d", kind, id, hookID),
	}
	l.check(function, gitLabPath, hookID, id)
	return l
}

var (
	gitHubName = regexp.MustCompile(`^[A-Za-z0-9_.-]{0,98}[A-Za-z0-9_-]$`)
	gitLabPath = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$`)
)

// check remembers a mistake in the arguments for the error of New. A name could
// otherwise lead to another path of the API.
func (l *Log) check(function string, valid *regexp.Regexp, hookID int64, names ...string) {
	for _, name := range names {
		if !valid.MatchString(name) {
			l.mistake = fmt.Sprintf("%s: %.100q is not a name on this platform", function, name)
		}
	}
	if hookID <= 0 {
		l.mistake = fmt.Sprintf("%s: the webhook's ID is %d; it is the number at the end of the URL of its settings", function, hookID)
	}
}

// platform is what differs between GitHub and GitLab.
type platform interface {
	// api is the URL of the public instance.
	api() string
	// header sets the headers that the platform wants.
	header(set func(name, value string))
	// first and page read the log. The query of a page is empty after the last.
	first() (query string)
	page(a *answer, query string) (entries []entry, next string, err error)
	// ask is the path below that of the log that sends an entry again.
	ask(id int64) (path string)
	// asked says what an answer to an ask means.
	asked(a *answer) (outcome Outcome, reason string)
	limits() limits
}

// limits are the numbers of a platform.
type limits struct {
	page int64 // bytes of a page
	pace time.Duration
	// failures is the number of deliveries that the receiver may refuse in a row
	// before the run stops.
	failures int
}
