package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

// hook returns an environment with a receiver for dry runs.
func hook() env {
	return env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText}
}

// dryRun returns the event that would be sent.
func dryRun(t *testing.T, e env, args ...string) *payload.Event {
	t.Helper()
	code, stdout, stderr := inProcess(e, append(args, "-dry-run")...)
	require.Equal(t, 0, code, stderr)
	var r struct{ Body string }
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	event, err := payload.DecodeEvent([]byte(r.Body))
	require.NoError(t, err)
	return event
}

// An event is validated only by the rules of its own type.
func TestEvent_ValidatedByItsType(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args   []string
		status payload.Status
		error  string
	}{
		"deploy.started":                   {[]string{"-event", "deploy.started"}, payload.StatusInProgress, ""},
		"deploy.started, pending":          {[]string{"-event", "deploy.started", "-status", "queued"}, payload.StatusPending, ""},
		"build.completed":                  {[]string{"-event", "build.completed"}, payload.StatusInProgress, ""},
		"build.completed, job succeeded":   {[]string{"-event", "build.completed", "-status", "success"}, payload.StatusInProgress, ""},
		"health_check.passed, running":     {[]string{"-event", "health_check.passed", "-status", "running"}, payload.StatusInProgress, ""},
		"deploy.live":                      {[]string{"-event", "deploy.live", "-environment", "production"}, payload.StatusSuccess, ""},
		"deploy.failed":                    {[]string{"-event", "deploy.failed"}, payload.StatusFailure, "the pipeline reported a failure"},
		"deploy.failed, cancelled":         {[]string{"-event", "deploy.failed", "-status", "aborted"}, payload.StatusCancelled, "deployment cancelled"},
		"deploy.rolled_back":               {[]string{"-event", "deploy.rolled_back", "-previous-version", "1.9"}, payload.StatusRolledBack, ""},
		"a platform's own":                 {[]string{"-event", "platform.migrated"}, "", ""},
		"a platform's own, with a status":  {[]string{"-event", "platform.migrated", "-status", "failed"}, payload.StatusFailure, ""},
		"a platform's own, with a failure": {[]string{"-event", "platform.stuck", "-error", "disk full"}, "", "disk full"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := dryRun(t, with(githubPush(), hook()), c.args...)
			require.Equal(t, payload.Type(c.args[1]), e.Type)
			require.Equal(t, c.status, e.Status)
			require.Equal(t, c.error, e.Error)
			require.Equal(t, "api-service", e.App)
			require.Equal(t, sha, e.Commit.SHA)
			_, found := e.Metadata.Get("started_at")
			require.True(t, found)
		})
	}
	code, _, stderr := inProcess(with(githubPush(), hook()), "-event", "deploy.live", "-dry-run")
	require.Equal(t, 2, code)
	require.Equal(t, "deploynotify: environment is required when event is deploy.live; give -environment (or set DEPLOYHOOK_ENVIRONMENT)\n", stderr)
}

func TestEvent_ContradictionsAreRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  env
		args []string
		says string
	}{
		"live and failed": {
			nil,
			[]string{"-event", "deploy.live", "-status", "failure"},
			"-event deploy.live and -status failure contradict each other; leave one out",
		},
		"live, and the job failed": {
			env{"DEPLOYHOOK_STATUS": "failure"},
			[]string{"-event", "deploy.live"},
			"-event deploy.live and DEPLOYHOOK_STATUS failure contradict each other; leave one out",
		},
		"failed and succeeded":   {nil, []string{"-event", "deploy.failed", "-status", "0"}, "contradict"},
		"started and done":       {nil, []string{"-event", "deploy.started", "-status", "success"}, "contradict"},
		"rolled back and failed": {nil, []string{"-event", "deploy.rolled_back", "-status", "failed"}, "contradict"},
		"built and failed":       {nil, []string{"-event", "build.completed", "-status", "failed"}, "contradict"},
		"healthy and cancelled":  {nil, []string{"-event", "health_check.passed", "-status", "cancelled"}, "contradict"},
		"start of what is live":  {nil, []string{"-event", "deploy.live", "-start"}, "-start reports the beginning"},
		"start of what is built": {nil, []string{"-event", "build.completed", "-start"}, "-start reports the beginning"},
		"finish of a start":      {nil, []string{"-event", "deploy.started", "-finish"}, "-finish reports the end"},
		"finish that runs":       {nil, []string{"-finish", "-status", "running"}, "-status says that it is in_progress"},
		"finish of a job that runs": {
			with(gitlabPush(), env{"CI_JOB_STATUS": "running"}), []string{"-finish"}, "the CI system says that it is in_progress; give -status",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := with(with(githubPush(), hook()), c.env)
			if c.env["GITLAB_CI"] != "" {
				e = with(hook(), c.env)
			}
			args := append([]string{"-environment", "production", "-previous-version", "1.9", "-state-dir", t.TempDir(), "-dry-run"}, c.args...)
			code, stdout, stderr := inProcess(e, args...)
			require.Equal(t, 2, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.says)
		})
	}
}

// Message, author and tag belong to the run's commit.
func TestEvent_OmitsDataOfOtherCommit(t *testing.T) {
	t.Parallel()
	e := with(with(gitlabPush(), hook()), env{
		"CI_COMMIT_TAG": "v2.1.0", "CI_COMMIT_BRANCH": "", "CI_COMMIT_MESSAGE": "Add search", "CI_COMMIT_AUTHOR": "Dana",
	})
	event := dryRun(t, e)
	require.Equal(t, "v2.1.0", event.Version)
	require.Equal(t, "Add search", event.Commit.Message)
	event = dryRun(t, e, "-commit", sha[:12])
	require.Equal(t, "Add search", event.Commit.Message, "the same commit, shortened")
	event = dryRun(t, e, "-commit", "0123456789abcdef0123456789abcdef01234567")
	require.Equal(t, "0123456789abcdef0123456789abcdef01234567", event.Commit.SHA)
	require.Empty(t, event.Version+event.Commit.Message+event.Commit.Author)
}

func TestRecord_HasWhatTheFlagsAdd(t *testing.T) {
	t.Parallel()
	base := []string{"-format", "deployment", "-commit", "c0ffee1", "-environment", "production", "-status", "success", "-dry-run"}
	code, stdout, stderr := inProcess(hook(), base...)
	require.Equal(t, 0, code, stderr)
	for _, name := range []string{"repositoryUrl", "artifactDigest", "version", "rollbackOf", "incidentUrl"} {
		require.NotContains(t, stdout, `\"`+name+`\"`, "by default the record is one that Periscope takes")
	}
	code, stdout, stderr = inProcess(hook(), append(base, "-repository-url", "https://git.example/acme/shop", "-artifact-digest", "sha256:c0ffee",
		"-deploy-version", "2.1.0", "-rollback-of", "run-6", "-incident-url", "https://acme.example/7")...)
	require.Equal(t, 0, code, stderr)
	for _, member := range []string{
		`"repositoryUrl":"https://git.example/acme/shop"`, `"artifactDigest":"sha256:c0ffee"`, `"version":"2.1.0"`,
		`"rollbackOf":"run-6"`, `"incidentUrl":"https://acme.example/7"`,
	} {
		require.Contains(t, strings.ReplaceAll(stdout, `\"`, `"`), member)
	}
	code, _, stderr = inProcess(hook(), append(base, "-artifact-digest", "latest")...)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "-artifact-digest")
}
