package main

import (
	"os"
	"path/filepath"
	"strings"
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
	// Without -start there is nothing to finish where no CI system names the run; where one does, only the time is missing.
	args := []string{"-finish", "-status", "success", "-environment", "production", "-service", "api", "-commit", sha, "-state-dir", dir}
	code, _, stderr := inProcess(target(got.url+"/events"), args...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "-start")
	code, _, stderr = inProcess(with(githubPush(), target(got.url+"/events")), args...)
	require.Equal(t, 0, code)
	require.Contains(t, stderr, "when it began is not known")
}

// The state's place may be shared with others: what stands there is never followed.
func TestStateFilesAreNotFollowed(t *testing.T) {
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

// A rehearsal must not change what -finish will say.
func TestADryRunLeavesNoState(t *testing.T) {
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
