package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
)

func TestFlags_CountByTheirValue(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), hook())
	args := []string{"-environment", "production", "-state-dir", t.TempDir()}
	for name, c := range map[string]struct {
		env  env
		args []string
	}{
		"-start=false leaves DEPLOYHOOK_STATUS alone": {env{"DEPLOYHOOK_STATUS": "success"}, []string{"-start=false"}},
		"-start=false wins over DEPLOYHOOK_START":     {env{"DEPLOYHOOK_START": "true"}, []string{"-start=false", "-status", "success"}},
		"-finish=false leaves DEPLOYHOOK_START alone": {env{"DEPLOYHOOK_START": "false", "DEPLOYHOOK_STATUS": "success"}, []string{"-finish=false"}},
		"DEPLOYHOOK_FINISH=false is no -finish":       {env{"DEPLOYHOOK_FINISH": "false"}, []string{"-status", "success"}},
	} {
		event := dryRun(t, with(with(env{}, e), c.env), append(args, c.args...)...)
		require.EqualValues(t, "deploy.live", event.Type, name)
	}
	event := dryRun(t, with(with(env{}, e), env{"DEPLOYHOOK_START": "true"}), append(args, "-finish=false")...)
	require.EqualValues(t, "deploy.started", event.Type, "-finish=false leaves DEPLOYHOOK_START alone")
}

// git may hang, for example on a network file system. The program gives up even
// if git ignores its context.
func TestTimeout_CoversDetection(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]bool{"git that ends": true, "git that hangs on": false} {
		synctest.Test(t, func(t *testing.T) {
			var errs bytes.Buffer
			release := make(chan struct{})
			begin := time.Now()
			code := run(t.Context(), []string{"-status", "success", "-environment", "production", "-timeout", "20s"}, system{
				getenv: func(name string) string { return hook()[name] }, files: fstest.MapFS{},
				git: func(ctx context.Context, _ ...string) (string, error) {
					if ends {
						<-ctx.Done()
						return "", ctx.Err()
					}
					<-release
					return "", errors.New("released")
				},
				stdout: io.Discard, stderr: &errs,
			})
			close(release)
			require.Equal(t, 1, code, name)
			require.Contains(t, errs.String(), "not delivered: gave up: -timeout expired", name)
			require.LessOrEqual(t, time.Since(begin), 20*time.Second+grace, name)
		})
	}
}

// start runs the program as a process in its own directory.
func start(t *testing.T, e env, args ...string) (cmd *exec.Cmd, stderr *bytes.Buffer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // ends a hang
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0], args...)
	stderr = &bytes.Buffer{}
	cmd.Dir, cmd.Stderr = t.TempDir(), stderr
	cmd.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + cmd.Dir}
	for name, value := range e {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	require.NoError(t, cmd.Start())
	return cmd, stderr
}

func exitStatus(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode()
}

func TestSecretFile_ThatIsAPipeIsRefused(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there are no named pipes in folders")
	}
	mkfifo := servicetest.Program(t, "mkfifo")
	pipe := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, exec.Command(mkfifo, pipe).Run())
	cmd, stderr := start(t, with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET_FILE": pipe}),
		"-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 2, exitStatus(t, cmd), stderr)
	require.Contains(t, stderr.String(), "DEPLOYHOOK_SECRET_FILE: want a regular file")
}

// The receiver keeps the program waiting, and git does, with a child that keeps
// the output open.
func TestSignals_EndProgram(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM")
	}
	reached := make(chan struct{}, 10)
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		// otherwise the server does not notice that the client left
		_, _ = io.Copy(io.Discard, r.Body)
		reached <- struct{}{}
		<-r.Context().Done()
	}))
	t.Cleanup(hanging.Close)
	slowGit := t.TempDir()
	running := filepath.Join(t.TempDir(), "running")
	require.NoError(t, exec.Command("mkfifo", running).Run())
	script := "#!/bin/sh\ntrap '' TERM\nsleep 100 &\necho $! >'" + running + "'\nwait\n"
	require.NoError(t, os.WriteFile(filepath.Join(slowGit, "git"), []byte(script), 0o700))

	for name, c := range map[string]struct {
		env  env
		wait func()
		says string
	}{
		"in an attempt": {githubPush(), func() { <-reached }, "interrupted by a signal after 1 attempt: POST " + hanging.URL + ": no answer yet"},
		"in detection": {env{"PATH": slowGit + ":" + os.Getenv("PATH")}, func() {
			child, err := os.ReadFile(running)
			require.NoError(t, err)
			t.Cleanup(func() { _ = exec.Command("kill", strings.TrimSpace(string(child))).Run() })
		}, "interrupted by a signal, while reading the run's data from the CI system and git"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd, stderr := start(t, with(c.env, target(hanging.URL)), "-environment", "production", "-status", "success", "-timeout", "1h")
			c.wait()
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			require.Equal(t, 1, exitStatus(t, cmd), stderr)
			require.Equal(t, "deploynotify: not delivered: "+c.says+"\n", stderr.String())
		})
	}
}

// A blocked write does not end with its context.
func TestSignals_EndProgramWithBlockedOutput(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("there is no SIGTERM")
	}
	out, in, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	part := strings.Repeat("x", 30<<10)
	e := with(with(githubPush(), hook()), env{"DEPLOYHOOK_STATUS": "success", "DEPLOYHOOK_ENVIRONMENT": "production", "DEPLOYHOOK_DRY_RUN": "true"})
	// a dry run's line is larger than a pipe's buffer, and a variable holds at
	// most 128 KiB
	for i := range 4 {
		e["DEPLOYHOOK_METADATA"] += fmt.Sprintf("part%d=%s\n", i, part)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // ends a hang
	defer cancel()
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Dir, cmd.Stdout, cmd.Stderr, cmd.Env = t.TempDir(), in, &stderr, []string{asProgram + "=1", "PATH=" + os.Getenv("PATH")}
	for name, value := range e {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	require.NoError(t, cmd.Start())
	require.NoError(t, in.Close())
	_, err = out.Read(make([]byte, 1))
	require.NoError(t, err)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Equal(t, 1, exitStatus(t, cmd), stderr.String())
	require.Equal(t, "deploynotify: not delivered: interrupted by a signal\n", stderr.String())
}
