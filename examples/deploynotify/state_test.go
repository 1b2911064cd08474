package main

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func TestStartAndFinishAreOneDeployment(t *testing.T) {
	t.Parallel()
	for name, e := range map[string]env{"with a CI system": githubPush(), "without": {}} {
		got, dir := receive(t, nil), t.TempDir()
		e = with(e, target(got.url+"/raw"))
		args := []string{"-format", "deployment", "-environment", "production", "-service", "api", "-commit", sha, "-state-dir", dir}
		code, _, stderr := inProcess(e, append(args, "-start")...)
		require.Equal(t, 0, code, stderr)
		code, _, stderr = inProcess(e, append(args, "-finish", "-status", "failure")...)
		require.Equal(t, 0, code, stderr)

		_, bodies, _ := got.all()
		require.Len(t, bodies, 2, name)
		began, err := payload.DecodeDeployment([]byte(bodies[0]))
		require.NoError(t, err)
		ended, err := payload.DecodeDeployment([]byte(bodies[1]))
		require.NoError(t, err)
		require.Equal(t, payload.StatusInProgress, began.Status)
		require.Equal(t, payload.StatusFailure, ended.Status)
		require.Equal(t, began.DeploymentID, ended.DeploymentID)
		require.Equal(t, began.StartedAt, ended.StartedAt)
		require.False(t, ended.CompletedAt.Before(ended.StartedAt))
	}
	got, dir := receive(t, nil), t.TempDir()
	// Without -start, and without a CI system that identifies the run, there is
	// nothing to finish. With such a system only the start time is missing.
	args := []string{"-finish", "-status", "success", "-environment", "production", "-service", "api", "-commit", sha, "-state-dir", dir}
	code, _, stderr := inProcess(target(got.url+"/events"), args...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "-start")
	code, _, stderr = inProcess(with(githubPush(), target(got.url+"/events")), args...)
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "the start time is unknown")
}

// Other users may write to the state's directory. Their links are never
// followed.
func TestState_LinksAreNotFollowed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	victim := filepath.Join(dir, "victim")
	require.NoError(t, os.WriteFile(victim, []byte("precious"), 0o600))
	path := filepath.Join(dir, "state.json")
	require.NoError(t, os.Symlink(victim, path))
	_, err := readState(path)
	require.Error(t, err)
	require.NoError(t, writeState(path, state{DeploymentID: "dep_1", StartedAt: time.Now()}))
	text, err := os.ReadFile(victim)
	require.NoError(t, err)
	require.Equal(t, "precious", string(text))
	info, err := os.Lstat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode())
	for _, bad := range []string{"", "{}", "null", `{"deployment_id":"x"}`, strings.Repeat("x", 5000)} {
		require.NoError(t, os.WriteFile(path, []byte(bad), 0o600))
		_, err := readState(path)
		require.Error(t, err, bad)
	}
}

// A dry run must not affect -finish.
func TestState_NotWrittenByDryRun(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText, "RUNNER_TEMP": dir})
	code, _, stderr := inProcess(e, "-environment", "production", "-start", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "dry run")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// A -finish that was not delivered may be repeated.
func TestState_IsRemovedAfterUse(t *testing.T) {
	t.Parallel()
	var refuse atomic.Bool
	got, dir := receive(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if refuse.Load() {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}), t.TempDir()
	files := func() int {
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		return len(entries)
	}
	e := with(githubPush(), target(got.url+"/events"))
	args := []string{"-environment", "production", "-state-dir", dir}
	finish := append(args, "-finish", "-status", "success")

	code, _, stderr := inProcess(e, append(args, "-start")...)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 1, files())
	code, _, stderr = inProcess(e, append(finish, "-dry-run")...)
	require.Equal(t, 0, code, stderr)
	require.Equal(t, 1, files(), "a dry run keeps the state")
	refuse.Store(true)
	code, _, stderr = inProcess(e, finish...)
	require.Equal(t, 1, code, stderr)
	require.Equal(t, 1, files(), "a -finish that was not delivered may be repeated")
	refuse.Store(false)
	code, _, stderr = inProcess(e, finish...)
	require.Equal(t, 0, code, stderr)
	require.NotContains(t, stderr, "not known")
	require.Zero(t, files())
	code, _, stderr = inProcess(e, finish...)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "the start time is unknown: there was no -start in this job")
}

// The state is not stored if the call is wrong.
func TestState_IsKeptWhenTheStartIsNotDelivered(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://localhost/", "DEPLOYHOOK_SECRET": secretText})
	for _, c := range []struct {
		service string
		code    int
		files   int
	}{{"\xff", 2, 0}, {"api", 1, 1}} {
		code, _, stderr := inProcess(e, "-start", "-environment", "production", "-state-dir", dir, "-service", c.service)
		require.Equal(t, c.code, code, stderr)
		entries, err := os.ReadDir(dir)
		require.NoError(t, err)
		require.Len(t, entries, c.files, c.service)
	}
}

// Other users could choose the start time and the deployment.
func TestState_OfOthersIsNotUsed(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("files have no owner and mode of this kind")
	}
	forged := state{DeploymentID: "dep_forged", StartedAt: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}
	for name, c := range map[string]struct {
		spoil func(path string) error
		says  string
	}{
		"readable by others": {func(path string) error { return os.Chmod(path, 0o644) }, "can be used by other users, so it is not used"},
		"writable by a group": {func(path string) error {
			return os.Chmod(path, 0o620)
		}, "can be used by other users, so it is not used"},
		"of another user": {func(path string) error { return os.Chown(path, 12345, -1) }, "belongs to another user, so it is not used"},
		"a link to our own": {func(path string) error {
			return errors.Join(os.Rename(path, path+".moved"), os.Symlink(path+".moved", path))
		}, "was not written by -start"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "of another user" && os.Geteuid() != 0 {
				t.Skip("only root can give a file away")
			}
			dir := t.TempDir()
			path := filepath.Join(dir, "state.json")
			require.NoError(t, writeState(path, forged))
			s, err := readState(path)
			require.NoError(t, err)
			require.Equal(t, forged, s)
			require.NoError(t, c.spoil(path))
			_, err = readState(path)
			require.ErrorContains(t, err, c.says)
		})
	}
}

// The CI system's clock may be ahead of this machine's. No deployment with a
// negative duration is sent.
func TestTimes_StartAfterEnd(t *testing.T) {
	t.Parallel()
	got := receive(t, nil)
	e := with(with(gitlabPush(), target(got.url+"/raw")), env{"CI_JOB_STARTED_AT": "2999-03-12T14:22:01Z"})
	code, _, stderr := inProcess(e, "-format", "deployment")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "the start time 2999-03-12T14:22:01Z is after this machine's time")
	_, bodies, _ := got.all()
	d, err := payload.DecodeDeployment([]byte(bodies[0]))
	require.NoError(t, err)
	require.Equal(t, d.CompletedAt, d.StartedAt)
	require.WithinDuration(t, time.Now(), d.CompletedAt, time.Minute)
}
