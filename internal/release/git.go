package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// topLevel returns the root folder of the repository that contains dir.
func topLevel(ctx context.Context, dir string) (string, error) {
	out, err := git(ctx, dir, nil, "rev-parse", "--show-toplevel")
	if err != nil {
		return "", err
	}
	return filepath.FromSlash(strings.TrimSpace(out)), nil
}

// git runs git in a folder, with additional environment variables, and returns
// its output.
func git(ctx context.Context, dir string, env []string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "git", args...)
	cmd.Dir = dir
	cmd.Env = append(gitEnviron(), env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return string(out), nil
}

// gitEnviron returns the environment without the variables that point git to
// another repository, as git sets them for its hooks.
func gitEnviron() []string {
	var env []string
	for _, v := range os.Environ() {
		if strings.HasPrefix(v, "GIT_DIR=") || strings.HasPrefix(v, "GIT_INDEX_FILE=") || strings.HasPrefix(v, "GIT_WORK_TREE=") {
			continue
		}
		env = append(env, v)
	}
	return env
}

// ident is the author of the clone's commits, which are temporary.
var ident = []string{"-c", "user.name=release", "-c", "user.email=release@localhost"}

// commitOfWorktree creates a commit of the current files, without those that
// git ignores. It changes neither the index nor a branch.
func commitOfWorktree(ctx context.Context, top string) (string, error) {
	dir, err := os.MkdirTemp("", "release-index")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	env := []string{"GIT_INDEX_FILE=" + filepath.Join(dir, "index")}
	if _, err := git(ctx, top, env, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	if _, err := git(ctx, top, env, "add", "--all"); err != nil {
		return "", err
	}
	tree, err := git(ctx, top, env, "write-tree")
	if err != nil {
		return "", err
	}
	args := append(append([]string{}, ident...), "commit-tree", "-p", "HEAD", "-m", "worktree", strings.TrimSpace(tree))
	commit, err := git(ctx, top, nil, args...)
	return strings.TrimSpace(commit), err
}

// cloneCommit creates a new repository in dir with one commit checked out. A
// shallow repository, as in CI, is enough.
func cloneCommit(ctx context.Context, top, commit, dir string) error {
	steps := [][]string{
		{"init", "--quiet"},
		{"fetch", "--quiet", "--depth=1", "--no-tags", top, commit},
		{"checkout", "--quiet", "--detach", "FETCH_HEAD"},
	}
	for _, args := range steps {
		if _, err := git(ctx, dir, nil, args...); err != nil {
			return err
		}
	}
	return nil
}
