package gitlinker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
	"github.com/deployhook/deployhook/signer"
)

func TestRange(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	base := r.commit("One (#1)")
	two := r.commit("Two (#2)", base)
	// A branch with its own pull requests, merged by another pull request.
	side := r.line(base, "wip", "Nested (#20)")
	merge := r.commit("Merge pull request #3 from acme/side", two, side[1])
	again := r.commit("Cherry-picked Two (#2)", merge)
	tip := r.commit("no pull request", again)
	l := newLinker(t, r.dir)

	requirePRs(t, l, base, tip, 2, 3, 20)
	requirePRs(t, l, two, tip, 2, 3, 20) // a later commit names #2 again
	requirePRs(t, l, two, merge, 3, 20)
	requirePRs(t, l, merge, tip, 2)
	requirePRs(t, l, again, tip)
	requirePRs(t, l, tip, tip)
	requirePRs(t, l, tip, base) // an older commit is deployed
	// Without a previous commit only the deployed commit counts.
	requirePRs(t, l, "", merge, 3)
	requirePRs(t, l, "", tip)
	requirePRs(t, l, "", side[1], 20)
	// The previous commit is not an ancestor.
	other := r.line(base, "Four (#4)", "Five (#5)")
	requirePRs(t, l, tip, other[1], 4, 5)
	// The commits have no common history.
	requirePRs(t, l, tip, r.commit("Orphan (#6)"), 6)
	// Abbreviated commits, in upper case.
	requirePRs(t, l, strings.ToUpper(base[:12]), tip[:12], 2, 3, 20)
}

// A deployment arrives, its previous commit is found, and its pull requests are
// counted.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", "One (#1)", "Two (#2)", "Three (#3)", "no pull request")
	const key = "dh_0123456789abcdefghij"
	hash, err := signer.HashAPIKey(key)
	require.NoError(t, err)
	keys, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}})
	require.NoError(t, err)
	ledger, err := deployments.NewMemoryLedger()
	require.NoError(t, err)
	h, err := deployments.New(keys, ledger, deployments.WithLinker(newLinker(t, r.dir)), deployments.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	deploy := func(id, service, commit string, minute int) string {
		body := fmt.Sprintf(`{"deploymentId":%q,"commitSha":%q,"environment":"production","status":"success","service":%q,`+
			`"startedAt":"2024-01-15T10:%02d:00Z","completedAt":"2024-01-15T10:%02d:30Z"}`, id, commit, service, minute, minute)
		q := httptest.NewRequest(http.MethodPost, "/api/webhooks/deployments", strings.NewReader(body))
		q.Header.Set("Content-Type", "application/json")
		q.Header.Set("Authorization", "Bearer "+key)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, q)
		return w.Body.String()
	}
	require.Equal(t, `{"action":"created","deploymentId":1,"linkedPRs":1}`, deploy("a", "api", names[0], 1))
	require.Equal(t, `{"action":"created","deploymentId":2,"linkedPRs":2}`, deploy("b", "api", names[2], 2))
	require.Equal(t, `{"action":"created","deploymentId":3,"linkedPRs":0}`, deploy("c", "api", names[3], 3))
	require.Equal(t, `{"action":"created","deploymentId":4,"linkedPRs":0,"linkFailed":true}`, deploy("d", "web", names[3], 4))
	require.Equal(t, `{"action":"created","deploymentId":5,"linkedPRs":0,"linkFailed":true}`, deploy("e", "api", strings.Repeat("0", 40), 5))
}

func TestWorkingCopies(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	one := r.commit("One (#1)")
	two := r.commit("Two (#2)", one)
	r.git("update-ref", "refs/heads/main", two)
	r.git("symbolic-ref", "HEAD", "refs/heads/main")
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, "", "clone", "--quiet", r.dir, clone)
	requirePRs(t, newLinker(t, clone), one, two, 2)
	linked := filepath.Join(t.TempDir(), "linked")
	run(t, "", "-C", clone, "worktree", "add", "--quiet", linked, "-b", "other")
	requirePRs(t, newLinker(t, linked), one, two, 2)
}

func TestUnknownCommit(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	c := r.commit("One (#1)")
	r.git("update-ref", "refs/heads/main", c)
	tree := r.git("rev-parse", c+"^{tree}")
	l := newLinker(t, r.dir)
	for _, sha := range []string{
		"0000000000000000000000000000000000000000", "00000", tree,
		"abc", "", "main", "HEAD", "--all", "-n1", "^" + c[:10], c + "^", c + "~0", c[:39] + "g", c + "0", c + "\n", "\n" + c[:10], c[:10] + " ", "..", c[:8] + ".." + c[:8], "@{-1}", ":/One",
	} {
		_, err := l.LinkedPRs(t.Context(), link("", sha))
		require.ErrorIs(t, err, gitlinker.ErrUnknownCommit, "%q", sha)
		if sha != "" {
			_, err = l.LinkedPRs(t.Context(), link(sha, c))
			require.ErrorIs(t, err, gitlinker.ErrUnknownCommit, "%q", sha)
			require.NotContains(t, err.Error(), sha, "the sender chooses the service")
		}
	}
	requirePRs(t, l, "", c, 1)
}

// Text that is not a commit name never reaches git.
func TestCommit_OnlyHexadecimalDigitsReachGit(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	ran := filepath.Join(t.TempDir(), "ran")
	git := script(t, "touch "+ran)
	l := newLinker(t, r.dir, gitlinker.WithGit(git))
	for _, sha := range []string{"--all", "abcd", "abcdef ", "$(id)", strings.Repeat("a", 41)} {
		for _, k := range []deployments.Link{link("", sha), link(sha, "abcdef")} {
			_, err := l.LinkedPRs(t.Context(), k)
			require.ErrorIs(t, err, gitlinker.ErrUnknownCommit)
		}
	}
	require.NoFileExists(t, ran)
	_, err := l.LinkedPRs(t.Context(), link("", "abcdef"))
	require.Error(t, err)
	require.FileExists(t, ran)
}

// A branch or a tag with the name of a commit is not used.
func TestCommit_RefsAreNotCommits(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	one := r.commit("One (#1)")
	two := r.commit("Two (#2)", one)
	for _, ref := range []string{"refs/heads/", "refs/tags/", "refs/"} {
		r.git("update-ref", ref+"abcdef", two)
		r.git("update-ref", ref+one[:10], two)
		r.git("update-ref", ref+one, two)
	}
	l := newLinker(t, r.dir)
	requirePRs(t, l, "", one[:10], 1)
	requirePRs(t, l, "", one, 1)
	_, err := l.LinkedPRs(t.Context(), link("", "abcdef"))
	require.ErrorIs(t, err, gitlinker.ErrUnknownCommit)
	// A replacement object does not change the history.
	r.git("replace", one, r.commit("Replaced (#9)"))
	requirePRs(t, l, "", one, 1)
}

func TestAmbiguousCommit(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	// With 2,000 commits, two share the first five of their hexadecimal digits.
	texts := make([]string, 2000)
	for i := range texts {
		texts[i] = fmt.Sprint("c", i)
	}
	var stream strings.Builder
	for i, text := range texts {
		fmt.Fprintf(&stream, "commit refs/heads/main\nmark :%d\ncommitter a <a@example.com> %d +0000\ndata %d\n%s\n", i+1, 1700000000+i, len(text), text)
	}
	run(t, stream.String(), "--git-dir="+r.dir, "fast-import", "--quiet")
	seen := map[string]bool{}
	for name := range strings.Lines(r.git("rev-list", "refs/heads/main")) {
		short := name[:5]
		if seen[short] {
			_, err := newLinker(t, r.dir).LinkedPRs(t.Context(), link("", short))
			require.ErrorIs(t, err, gitlinker.ErrUnknownCommit)
			require.ErrorContains(t, err, "several commits")
			return
		}
		seen[short] = true
	}
	t.Fatal("no two commits have the same first five digits; the commits are fixed, so raise their number")
}

// The number from a shallow clone would be too low.
func TestShallowClone(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", "One (#1)", "Two (#2)", "Three (#3)")
	r.git("update-ref", "refs/heads/main", names[2])
	r.git("symbolic-ref", "HEAD", "refs/heads/main")
	clone := filepath.Join(t.TempDir(), "clone")
	run(t, "", "clone", "--quiet", "--depth=2", "file://"+r.dir, clone)
	_, err := newLinker(t, clone).LinkedPRs(t.Context(), link(names[1], names[2]))
	require.ErrorIs(t, err, gitlinker.ErrShallow)
	require.ErrorContains(t, err, "--unshallow")
	run(t, "", "-C", clone, "fetch", "--quiet", "--unshallow")
	requirePRs(t, newLinker(t, clone), names[0], names[2], 2, 3)
}

func TestLookup(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	c := r.commit("One (#1)")
	dirs := map[string]string{"api": r.dir, "": r.dir, "none": ""}
	l, err := gitlinker.New(gitlinker.ByService("acme", dirs))
	require.NoError(t, err)
	delete(dirs, "api")
	requirePRs(t, l, "", c, 1)
	ask := func(organization, service string) (int, error) {
		return l.LinkedPRs(t.Context(), deployments.Link{Organization: organization, Service: service, Commit: c})
	}
	for _, service := range []string{"web", "../repo.git", r.dir, "API"} {
		_, err = ask("acme", service)
		require.ErrorIs(t, err, gitlinker.ErrUnknownService, service)
	}
	_, err = ask("other", "api")
	require.ErrorIs(t, err, gitlinker.ErrUnknownService, "another organization's repository")
	n, err := ask("acme", "")
	require.NoError(t, err)
	require.Equal(t, 1, n)
	n, err = ask("acme", "none")
	require.NoError(t, err, "deliberately none")
	require.Zero(t, n)
	l, err = gitlinker.New(func(context.Context, string, string) (string, error) { return "", errors.New("database down") })
	require.NoError(t, err)
	_, err = l.LinkedPRs(t.Context(), link("", c))
	require.ErrorContains(t, err, "database down")
}

// git does not search parent directories for a repository.
func TestNotARepository(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	c := r.commit("One (#1)")
	inside := filepath.Join(r.dir, "objects")
	empty := t.TempDir()
	broken := filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.Mkdir(broken, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(broken, "HEAD"), []byte("ref: refs/heads/main\n"), 0o600))
	for _, dir := range []string{inside, empty, broken, filepath.Join(empty, "missing")} {
		_, err := newLinker(t, dir).LinkedPRs(t.Context(), link("", c))
		require.ErrorIs(t, err, gitlinker.ErrRepository, dir)
	}
}

func TestTooManyCommits(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", "One (#1)", "Two (#2)", "Three (#3)", "Four (#4)")
	l := newLinker(t, r.dir, gitlinker.WithMaxCommits(2))
	requirePRs(t, l, names[1], names[3], 3, 4)
	_, err := l.LinkedPRs(t.Context(), link(names[0], names[3]))
	require.ErrorIs(t, err, gitlinker.ErrTooLarge)
	require.ErrorContains(t, err, "WithMaxCommits")
}

// The configuration of the machine and the user and the process's environment
// have no effect.
func TestEnvironmentIsScrubbed(t *testing.T) {
	r := newRepo(t)
	one := r.commit("One (#1)")
	two := r.commit("Two (#2)", one)
	home := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(home, ".gitconfig"), []byte("this is not a configuration"), 0o600))
	other := newRepo(t)
	for name, value := range map[string]string{
		"HOME": home, "GIT_CONFIG_GLOBAL": filepath.Join(home, ".gitconfig"), "GIT_DIR": other.dir, "GIT_OBJECT_DIRECTORY": other.dir,
		"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "core.bare", "GIT_CONFIG_VALUE_0": "nonsense", "GIT_TRACE": filepath.Join(home, "trace"),
		"GIT_GRAFT_FILE": filepath.Join(home, "grafts"), "GIT_SHALLOW_FILE": filepath.Join(home, "shallow"),
	} {
		t.Setenv(name, value)
	}
	requirePRs(t, newLinker(t, r.dir), one, two, 2)
	require.NoFileExists(t, filepath.Join(home, "trace"))
}

// The repository's own configuration cannot make git run programs or write
// files.
func TestRepositoryConfigurationRunsNothing(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	one := r.commit("One (#1)")
	two := r.commit("Two (#2)", one)
	ran := filepath.Join(t.TempDir(), "ran")
	script := "touch " + ran
	for _, key := range []string{"core.fsmonitor", "core.sshCommand", "core.pager", "core.editor", "gpg.program", "core.gitProxy", "alias.rev-list", "pager.rev-list", "uploadpack.packObjectsHook", "credential.helper"} {
		r.git("config", key, "!"+script)
	}
	r.git("config", "log.showSignature", "true")
	r.git("config", "log.follow", "true")
	hook := filepath.Join(r.dir, "hooks", "post-index-change")
	require.NoError(t, os.MkdirAll(filepath.Dir(hook), 0o700))
	require.NoError(t, os.WriteFile(hook, []byte("#!/bin/sh\n"+script+"\n"), 0o700))
	requirePRs(t, newLinker(t, r.dir), one, two, 2)
	require.NoFileExists(t, ran)
}

// Missing objects of a partial clone are not fetched.
func TestPartialCloneIsNotCompleted(t *testing.T) {
	t.Parallel()
	r := newRepo(t)
	names := r.line("", "One (#1)", "Two (#2)")
	r.git("update-ref", "refs/heads/main", names[1])
	r.git("symbolic-ref", "HEAD", "refs/heads/main")
	r.git("config", "uploadpack.allowFilter", "true")
	clone := filepath.Join(t.TempDir(), "clone.git")
	run(t, "", "clone", "--quiet", "--bare", "--filter=blob:none", "file://"+r.dir, clone)
	later := r.commit("Three (#3)", names[1])
	l := newLinker(t, clone)
	requirePRs(t, l, names[0], names[1], 2)
	_, err := l.LinkedPRs(t.Context(), link(names[1], later))
	require.ErrorIs(t, err, gitlinker.ErrUnknownCommit)
	run(t, "", "--git-dir="+clone, "fetch", "--quiet", "origin", later)
	requirePRs(t, l, names[1], later, 3)
}

// If a commit in the history is missing, git must neither fetch it nor skip it.
func TestMissingCommitIsNotFetched(t *testing.T) {
	t.Parallel()
	origin := newRepo(t)
	names := origin.line("", "One (#1)", "Two (#2)", "Three (#3)")
	origin.git("update-ref", "refs/heads/main", names[2])
	origin.git("config", "uploadpack.allowAnySHA1InWant", "true")
	origin.git("config", "uploadpack.allowFilter", "true")
	holed := filepath.Join(t.TempDir(), "holed.git")
	run(t, "", "init", "--quiet", "--bare", holed)
	run(t, "", "--git-dir="+holed, "-c", "fetch.unpackLimit=1000", "fetch", "--quiet", "file://"+origin.dir, "main:main")
	for key, value := range map[string]string{
		"core.repositoryFormatVersion": "1", "extensions.partialClone": "origin", "remote.origin.url": "file://" + origin.dir,
		"remote.origin.promisor": "true", "remote.origin.partialCloneFilter": "blob:none",
	} {
		run(t, "", "--git-dir="+holed, "config", key, value)
	}
	hole := filepath.Join(holed, "objects", names[1][:2], names[1][2:])
	require.NoError(t, os.Remove(hole))
	_, err := newLinker(t, holed).LinkedPRs(t.Context(), link(names[0], names[2]))
	require.ErrorIs(t, err, gitlinker.ErrRepository)
	require.NoFileExists(t, hole)
	// Without the linker's settings git would have fetched it.
	require.Contains(t, run(t, "", "--git-dir="+holed, "log", "--format=%s", names[2], "^"+names[0]), "Two (#2)")
}

// script creates an executable. Another process writes the file. If this
// process had it open for writing while a parallel test forks, running it would
// fail with "text file busy".
func script(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "git")
	cmd := exec.Command("sh", "-c", `cat > "$1" && chmod 700 "$1"`, "sh", path)
	cmd.Stdin = strings.NewReader("#!/bin/sh\n" + text + "\n")
	require.NoError(t, cmd.Run())
	return path
}

// slowGit is a git that hangs, with a child process that keeps its output open.
func slowGit(t *testing.T) (git, pid string) {
	t.Helper()
	pid = filepath.Join(t.TempDir(), "pid")
	return script(t, "sleep 600 &\necho $! > "+pid+".tmp\nmv "+pid+".tmp "+pid+"\nwait"), pid
}

func TestContextAndTimeoutEndGit(t *testing.T) {
	t.Parallel()
	for name, call := range map[string]func(t *testing.T, dir, git, pid string) error{
		"context": func(t *testing.T, dir, git, pid string) error {
			ctx, cancel := context.WithCancel(t.Context())
			go func() {
				for ctx.Err() == nil {
					if _, err := os.Stat(pid); err == nil {
						cancel()
					}
					time.Sleep(time.Millisecond) // another process writes the file
				}
			}()
			_, err := newLinker(t, dir, gitlinker.WithGit(git)).LinkedPRs(ctx, link("", "abcdef"))
			require.ErrorIs(t, err, context.Canceled)
			return err
		},
		"timeout": func(t *testing.T, dir, git, pid string) error {
			// repeat until the machine is fast enough to start the script
			for timeout := 500 * time.Millisecond; ; timeout *= 4 {
				_, err := newLinker(t, dir, gitlinker.WithGit(git), gitlinker.WithTimeout(timeout)).LinkedPRs(t.Context(), link("", "abcdef"))
				require.ErrorIs(t, err, context.DeadlineExceeded)
				if _, missing := os.Stat(pid); missing == nil || timeout > patience {
					return err
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRepo(t)
			git, pid := slowGit(t)
			start := time.Now()
			require.Error(t, call(t, r.dir, git, pid))
			require.Less(t, time.Since(start), 2*patience)
			text, err := os.ReadFile(pid)
			require.NoError(t, err, "the script was never started")
			require.Eventually(t, func() bool { return !alive(t, strings.TrimSpace(string(text))) }, patience, 10*time.Millisecond,
				"the child was left behind")
		})
	}
}

// alive reports whether a process runs. A zombie does not.
func alive(t *testing.T, pid string) bool {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(rest, "Z")
}
