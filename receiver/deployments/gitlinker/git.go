package gitlinker

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// repository runs git in one repository.
type repository struct {
	git        string
	dir        string
	maxCommits int
	maxOutput  int64
}

// open refuses a shallow clone and an unreadable repository. Both would make
// the number too low.
func (l *Linker) open(ctx context.Context, dir string) (*repository, error) {
	gitDir, err := gitDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRepository, err)
	}
	r := &repository{git: l.git, dir: gitDir, maxCommits: l.maxCommits, maxOutput: maxOutput}
	shallow, err := r.output(ctx, "", "rev-parse", "--is-shallow-repository")
	if err != nil {
		return nil, err
	}
	if strings.TrimSpace(shallow) != "false" {
		return nil, fmt.Errorf("%w: older pull requests are missing; complete it with git fetch --unshallow", ErrShallow)
	}
	return r, nil
}

// resolve returns the full name of the one commit whose name begins with sha.
// It searches object names by prefix. As a revision, sha could also be the name
// of a branch.
func (r *repository) resolve(ctx context.Context, sha string) (string, error) {
	objects, err := r.output(ctx, "", "rev-parse", "--disambiguate="+strings.ToLower(sha))
	if err != nil {
		return "", err
	}
	if objects == "" {
		return "", fmt.Errorf("%w: it is not in the repository; fetch before deployments are reported", ErrUnknownCommit)
	}
	kinds, err := r.output(ctx, objects, "cat-file", "--batch-check=%(objectname) %(objecttype)")
	if err != nil {
		return "", err
	}
	commit := ""
	for line := range strings.Lines(kinds) {
		name, kind, _ := strings.Cut(strings.TrimSpace(line), " ")
		if kind != "commit" {
			continue
		}
		if commit != "" {
			return "", fmt.Errorf("%w: it abbreviates several commits; send all 40 digits", ErrUnknownCommit)
		}
		commit = name
	}
	if commit == "" {
		return "", fmt.Errorf("%w: the repository has no commit of that name", ErrUnknownCommit)
	}
	return commit, nil
}

// walk calls f for each commit that is reachable from commit but not from
// previous. If previous is empty, it calls f only for commit.
func (r *repository) walk(ctx context.Context, commit, previous string, f func(subject, body string)) error {
	args := []string{"rev-list", "--encoding=UTF-8", "--format=%x00%s%x00%b%x00"}
	if previous == "" {
		args = append(args, "--max-count=1", "--end-of-options", commit)
	} else {
		args = append(args, "--max-count="+strconv.Itoa(r.maxCommits+1), "--end-of-options", commit, "^"+previous)
	}
	commits := 0
	return r.run(ctx, "", args, func(out io.Reader) error {
		in := bufio.NewReader(out)
		for {
			// A record is "commit <name>\n", the subject and the body, each
			// ended by NUL, and a newline. A message cannot contain NUL.
			var parts [3]string
			for i := range parts {
				text, err := in.ReadString(0)
				if i == 0 && err == io.EOF {
					return nil
				}
				if err != nil {
					return err
				}
				parts[i] = strings.TrimSuffix(text, "\x00")
			}
			if commits++; commits > r.maxCommits {
				return fmt.Errorf("%w: more than %d commits; if this is expected, raise WithMaxCommits", ErrTooLarge, r.maxCommits)
			}
			f(parts[1], parts[2])
		}
	})
}

// output runs git and returns its output.
func (r *repository) output(ctx context.Context, input string, args ...string) (string, error) {
	var text []byte
	err := r.run(ctx, input, args, func(out io.Reader) (err error) {
		text, err = io.ReadAll(out)
		return err
	})
	return string(text), err
}

// run runs git and passes a bounded part of its output to read. It kills git if
// read fails or ctx ends.
func (r *repository) run(ctx context.Context, input string, args []string, read func(io.Reader) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, r.git, append([]string{
		"--git-dir=" + r.dir, "--no-pager", "--no-replace-objects", "--no-optional-locks", "--literal-pathspecs",
		"-c", "core.hooksPath=" + os.DevNull, "-c", "core.fsmonitor=false",
	}, args...)...)
	cmd.Dir = r.dir
	// the .git file of a linked worktree
	if info, err := os.Stat(r.dir); err == nil && !info.IsDir() {
		cmd.Dir = strings.TrimSuffix(r.dir, ".git")
	}
	cmd.Env = environment()
	cmd.Stdin = strings.NewReader(input)
	said := &head{limit: 1 << 10}
	cmd.Stderr = said
	cmd.WaitDelay = time.Second
	ownGroup(cmd)
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("gitlinker: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return errors.Join(ctx.Err(), fmt.Errorf("gitlinker: start git: %w", err))
	}
	limited := &io.LimitedReader{R: out, N: r.maxOutput}
	readErr := read(limited)
	if limited.N <= 0 {
		readErr = fmt.Errorf("%w: more than %d bytes of output", ErrTooLarge, r.maxOutput)
	}
	ended := ctx.Err() // read before the function itself cancels ctx
	if readErr != nil {
		cancel()
	}
	err = cmd.Wait()
	switch {
	case ended != nil:
		return fmt.Errorf("gitlinker: git %s: %w", args[0], ended)
	case readErr != nil && !errors.Is(readErr, io.EOF) && !errors.Is(readErr, io.ErrUnexpectedEOF):
		return readErr
	case ctx.Err() != nil && readErr == nil:
		return fmt.Errorf("gitlinker: git %s: %w", args[0], ctx.Err())
	case err != nil:
		return fmt.Errorf("%w: git %s: %w: %s", ErrRepository, args[0], err, strings.TrimSpace(said.String()))
	case readErr != nil:
		return fmt.Errorf("%w: git %s: %w", ErrRepository, args[0], readErr)
	}
	return nil
}

// environment returns git's entire environment. It excludes the process's
// variables, such as GIT_DIR, and all system and user configuration.
func environment() []string {
	return []string{
		"PATH=" + os.Getenv("PATH"), "LC_ALL=C", "SYSTEMROOT=" + os.Getenv("SYSTEMROOT"),
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull, "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ASKPASS=", "SSH_ASKPASS=", "GIT_NO_LAZY_FETCH=1", "GIT_ALLOW_PROTOCOL=none",
	}
}

// head keeps the beginning of what is written to it.
type head struct {
	bytes.Buffer
	limit int
}

func (h *head) Write(p []byte) (int, error) {
	if room := h.limit - h.Len(); room > 0 {
		h.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
