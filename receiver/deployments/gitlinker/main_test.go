package gitlinker_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
)

// patience is the limit for waiting. Only a hang takes longer.
const patience = 10 * time.Minute

func TestMain(m *testing.M) { leaktest.Main(m) }

// repo is a real repository that a test builds one commit at a time.
type repo struct {
	testing.TB
	dir     string
	commits int
}

// newRepo makes a bare repository, independent of the machine's git
// configuration.
func newRepo(t testing.TB) *repo {
	t.Helper()
	r := &repo{TB: t, dir: filepath.Join(t.TempDir(), "repo.git")}
	run(t, "", "init", "--quiet", "--bare", "--template=", r.dir)
	return r
}

func run(t testing.TB, input string, args ...string) string {
	t.Helper()
	cmd := exec.Command(servicetest.Program(t, "git"), args...)
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "LC_ALL=C",
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com",
	}
	cmd.Stdin = strings.NewReader(input)
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "git %v: %s", args, out)
	return strings.TrimSpace(string(out))
}

func (r *repo) git(args ...string) string {
	r.Helper()
	return run(r, "", append([]string{"--git-dir=" + r.dir}, args...)...)
}

// commit adds a commit and returns its name.
func (r *repo) commit(message string, parents ...string) string {
	r.Helper()
	return r.add(parents, message)[0]
}

// line adds commits, each the parent of the next.
func (r *repo) line(parent string, messages ...string) []string {
	r.Helper()
	var parents []string
	if parent != "" {
		parents = []string{parent}
	}
	return r.add(parents, messages...)
}

func (r *repo) add(parents []string, messages ...string) []string {
	r.Helper()
	var stream strings.Builder
	for i, message := range messages {
		r.commits++
		fmt.Fprintf(&stream, "commit refs/made/%d\nmark :%d\ncommitter a <a@example.com> %d +0000\ndata %d\n%s\n", r.commits, i+1, 1700000000+r.commits, len(message), message)
		switch {
		case i > 0:
			fmt.Fprintf(&stream, "from :%d\n", i)
		case len(parents) > 0:
			fmt.Fprintf(&stream, "from %s\n", parents[0])
			for _, p := range parents[1:] {
				fmt.Fprintf(&stream, "merge %s\n", p)
			}
		}
	}
	run(r, stream.String(), "--git-dir="+r.dir, "fast-import", "--quiet")
	parse := []string{"rev-parse"}
	for i := range messages {
		parse = append(parse, fmt.Sprintf("refs/made/%d", r.commits-len(messages)+1+i))
	}
	return strings.Fields(r.git(parse...))
}

func newLinker(t testing.TB, dir string, opts ...gitlinker.Option) *gitlinker.Linker {
	t.Helper()
	l, err := gitlinker.New(gitlinker.ByService("acme", map[string]string{"api": dir}), opts...)
	require.NoError(t, err)
	return l
}

func link(previous, commit string) deployments.Link {
	return deployments.Link{Organization: "acme", Service: "api", Environment: "production", Commit: commit, PreviousCommit: previous}
}

func numbers(found []gitlinker.PullRequest) (all []int) {
	for _, pr := range found {
		all = append(all, pr.Number)
	}
	return all
}

func requirePRs(t testing.TB, l *gitlinker.Linker, previous, commit string, want ...int) {
	t.Helper()
	found, err := l.PullRequests(t.Context(), link(previous, commit))
	require.NoError(t, err)
	require.ElementsMatch(t, want, numbers(found))
	n, err := l.LinkedPRs(t.Context(), link(previous, commit))
	require.NoError(t, err)
	require.Equal(t, len(want), n)
}
