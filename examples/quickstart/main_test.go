package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func TestRun_EveryCaseEndsAsExpected(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-json", "-scale", "0.001"}, &out, io.Discard))
	want := map[string]struct{ status, attempts, handled int }{
		"delivered": {200, 1, 1}, "retried": {200, 3, 1}, "duplicate": {200, 2, 1}, "in-flight": {409, 2, 1}, "crashed": {200, 2, 1},
		"forged": {401, 1, 0}, "tampered": {401, 1, 0}, "stale": {401, 1, 0}, "future": {401, 1, 0}, "unsigned": {401, 1, 0},
		"oversized": {413, 1, 0}, "invalid": {400, 1, 0},
	}
	decoder := json.NewDecoder(&out)
	for decoder.More() {
		var r result
		require.NoError(t, decoder.Decode(&r))
		w, ok := want[r.Case]
		require.True(t, ok, "%s: unknown, or printed twice", r.Case)
		delete(want, r.Case)
		require.True(t, r.OK, r.Case)
		require.Equal(t, w.status, r.Status, r.Case)
		require.Equal(t, w.attempts, r.Attempts, r.Case)
		require.Equal(t, w.handled, r.Handled, r.Case)
		require.Len(t, r.WaitsMS, map[bool]int{true: w.attempts - 1}[r.Case == "retried" || r.Case == "crashed"])
	}
	require.Empty(t, want)
}

// A case with an unexpected result is counted and makes the run fail.
func TestRun_FailsOnUnexpectedResult(t *testing.T) {
	d, err := newDemo(currentEvent(t.Context()), 0.001)
	require.NoError(t, err)
	defer func() { require.NoError(t, d.close()) }()
	c := cases[0]
	c.status = 401
	require.False(t, d.run(t.Context(), c).OK)
	require.True(t, d.run(t.Context(), cases[0]).OK)
}

func TestTimeline(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run(t.Context(), []string{"-scale", "0.001"}, &out, io.Discard))
	require.Contains(t, out.String(), "0.001 times those in production")
	require.Contains(t, out.String(), "12 of 12 cases")
	require.NotRegexp(t, ` \n`, out.String())
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"-scale", "0"}, {"-scale", "2"}, {"extra"}, {"-unknown"}} {
		require.ErrorIs(t, run(t.Context(), args, io.Discard, io.Discard), errUsage, args)
	}
	require.ErrorIs(t, run(t.Context(), []string{"-h"}, io.Discard, io.Discard), flag.ErrHelp)
}

// With git the event describes the current commit. With neither git nor a CI
// environment it is marked as a sample.
func TestEvent_DescribesCurrentCommit(t *testing.T) {
	sha, err := exec.Command("git", "rev-parse", "HEAD").Output()
	if err == nil {
		require.Equal(t, string(bytes.TrimSpace(sha)), currentEvent(t.Context()).Commit.SHA)
	}

	t.Chdir(t.TempDir())
	for _, name := range []string{"GITHUB_SHA", "CI_COMMIT_SHA", "BUILD_SOURCEVERSION", "CIRCLE_SHA1", "BUILDKITE_COMMIT", "GIT_COMMIT"} {
		t.Setenv(name, "")
	}
	e := currentEvent(t.Context())
	require.Equal(t, "sample-app", e.App)
	require.Contains(t, e.Commit.Message, "neither git nor a CI environment")

	t.Setenv("GITHUB_SHA", "f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9")
	t.Setenv("GITHUB_HEAD_REF", "")
	t.Setenv("GITHUB_REF_NAME", "main")
	e = currentEvent(t.Context())
	require.Equal(t, "deployhook", e.App)
	require.Equal(t, "f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9", e.Commit.SHA)
	require.Equal(t, "main", e.Commit.Branch)
	require.NoError(t, e.Validate())
}
