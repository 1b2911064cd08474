package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// A runner runs one command of the program.
type runner struct {
	top    string
	out    io.Writer
	errOut io.Writer
}

func (r *runner) printf(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// A sandbox is a clone of one commit, a module proxy that holds the clone's
// modules, and a separate module cache. The go command never drops a module
// from its cache, so the unpublished versions must not reach the user's cache.
type sandbox struct {
	*tree

	tmp    string
	proxy  string
	env    []string
	flags  string // GOFLAGS
	mods   []packed
	runner *runner
}

// newWorktreeSandbox creates a sandbox with the current files.
func (r *runner) newWorktreeSandbox(ctx context.Context) (*sandbox, error) {
	commit, err := commitOfWorktree(ctx, r.top)
	if err != nil {
		return nil, err
	}
	return r.newSandbox(ctx, commit)
}

// newSandbox clones a commit and packs every module of it.
func (r *runner) newSandbox(ctx context.Context, commit string) (*sandbox, error) {
	tmp, err := os.MkdirTemp("", "release")
	if err != nil {
		return nil, err
	}
	s := &sandbox{tmp: tmp, proxy: filepath.Join(tmp, "proxy"), runner: r}
	if err := s.fill(ctx, commit); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *sandbox) fill(ctx context.Context, commit string) error {
	clone := filepath.Join(s.tmp, "clone")
	for _, dir := range []string{clone, s.proxy, filepath.Join(s.tmp, "bin")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	id, err := git(ctx, s.runner.top, nil, "rev-parse", commit+"^{commit}")
	if err != nil {
		return err
	}
	if err := cloneCommit(ctx, s.runner.top, strings.TrimSpace(id), clone); err != nil {
		return err
	}
	if s.tree, err = readTree(ctx, clone); err != nil {
		return err
	}
	if s.mods, err = s.pack(ctx, s.proxy); err != nil {
		return err
	}
	return s.setEnv(ctx)
}

func (s *sandbox) close() error { return os.RemoveAll(s.tmp) }

// setEnv sets the environment of the go command. Modules of this repository
// come only from the sandbox's proxy. Others come from the user's module cache
// or, if they are missing there, from the user's proxy.
func (s *sandbox) setEnv(ctx context.Context) error {
	names := []string{"GOCACHE", "GOFLAGS", "GOMODCACHE", "GONOSUMDB", "GOPATH", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"}
	out, err := exec.CommandContext(ctx, "go", append([]string{"env", "-json"}, names...)...).Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	user := map[string]string{}
	if err := json.Unmarshal(out, &user); err != nil {
		return err
	}
	cache := filepath.Join(s.tmp, "mod")
	download := filepath.Join(user["GOMODCACHE"], "cache", "download")
	if err := shareProofs(download, filepath.Join(cache, "cache", "download")); err != nil {
		return err
	}
	// Without paths, all runs share the build cache, wherever their sandbox is.
	s.flags = strings.TrimSpace(user["GOFLAGS"] + " -trimpath -modcacherw")
	s.env = gitEnviron()
	for _, name := range names {
		s.env = append(s.env, name+"="+user[name])
	}
	s.env = append(s.env,
		// All downloads must use the proxy.
		"GOENV=off", "GOPRIVATE=", "GONOPROXY=",
		"GOWORK=off",
		"GOMODCACHE="+cache,
		"GOPROXY="+fileURL(s.proxy)+","+fileURL(download)+","+user["GOPROXY"],
		// These sums are not in a database yet.
		"GONOSUMDB="+strings.Trim(user["GONOSUMDB"]+","+s.root, ","),
		// go install must not replace the user's programs.
		"GOBIN="+s.path("bin"),
		"GOFLAGS="+s.flags,
	)
	return nil
}

// shareProofs lets the sandbox use and extend the proofs that the user has
// received from the checksum database. A proof is valid for every user.
func shareProofs(user, sandbox string) error {
	proofs := filepath.Join(user, "sumdb")
	if _, err := os.Stat(proofs); err != nil {
		return nil // no proofs yet
	}
	if err := os.MkdirAll(sandbox, 0o755); err != nil {
		return err
	}
	return os.Symlink(proofs, filepath.Join(sandbox, "sumdb"))
}

// path returns the path of a file in the sandbox.
func (s *sandbox) path(elem ...string) string {
	return filepath.Join(append([]string{s.tmp}, elem...)...)
}

// moduleDir returns the folder of a module in the clone.
func (s *sandbox) moduleDir(m *mod) string { return filepath.Join(s.dir, filepath.FromSlash(m.dir)) }

func fileURL(p string) string {
	p = filepath.ToSlash(p)
	if !strings.HasPrefix(p, "/") {
		p = "/" + p // a drive letter of Windows
	}
	return "file://" + p
}

// hangs far exceeds the time of any command. It ends a program that hangs.
const hangs = 10 * time.Minute

// run runs a command in a folder with the sandbox's environment and returns its
// standard output. The error of a failed command contains its whole output.
func (s *sandbox) run(ctx context.Context, dir string, name string, args ...string) (string, error) {
	return s.runEnv(ctx, nil, dir, name, args...)
}

func (s *sandbox) runEnv(ctx context.Context, env []string, dir, name string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, hangs)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(append([]string{}, s.env...), env...)
	cmd.WaitDelay = time.Second // a grandchild may keep the pipe open
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err, &stderr, &stdout)
	}
	return stdout.String(), nil
}
