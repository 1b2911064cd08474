package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	sha        = "f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9"
	asProgram  = "DEPLOYNOTIFY_TEST_AS_PROGRAM"
)

// The test binary is the program when it is told so: that is how the tests run it as a process.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		return
	}
	leaktest.Main(m)
}

type env map[string]string

// githubPush is what GitHub Actions sets on a push.
func githubPush() env {
	return env{
		"CI": "true", "GITHUB_ACTIONS": "true", "GITHUB_RUN_ID": "67890", "GITHUB_RUN_ATTEMPT": "1", "GITHUB_JOB": "deploy",
		"GITHUB_SHA": sha, "GITHUB_REF": "refs/heads/main", "GITHUB_REF_NAME": "main", "GITHUB_REF_TYPE": "branch",
		"GITHUB_REPOSITORY": "acme/api-service", "GITHUB_SERVER_URL": "https://github.com", "GITHUB_WORKFLOW": "Deploy",
		"GITHUB_ACTOR": "dana", "GITHUB_TRIGGERING_ACTOR": "dana",
	}
}

func gitlabPush() env {
	return env{
		"CI": "true", "GITLAB_CI": "true", "CI_PIPELINE_ID": "1001", "CI_JOB_ID": "2002", "CI_COMMIT_SHA": sha, "CI_COMMIT_BRANCH": "main",
		"CI_COMMIT_REF_NAME": "main", "CI_PROJECT_PATH": "acme/api-service", "CI_PROJECT_NAME": "api-service",
		"CI_PIPELINE_URL": "https://gitlab.com/acme/api-service/-/pipelines/1001", "GITLAB_USER_LOGIN": "dana",
		"CI_ENVIRONMENT_NAME": "production", "CI_JOB_STATUS": "success", "CI_JOB_STARTED_AT": "2026-03-12T14:22:01Z",
		"CI_REPOSITORY_URL": "https://gitlab-ci-token:glcbt-canary@gitlab.com/acme/api-service.git",
	}
}

// program runs deploynotify as a process with nothing but the given environment.
func program(t *testing.T, e env, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], args...)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{asProgram + "=1", "PATH=" + os.Getenv("PATH"), "TMPDIR=" + cmd.Dir, "GIT_CEILING_DIRECTORIES=" + filepath.Dir(cmd.Dir)}
	for name, value := range e {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// inProcess runs it without a process, which is enough for whatever never gets to sending.
func inProcess(e env, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, surroundings{
		getenv: func(name string) string { return e[name] }, files: fstest.MapFS{},
		git:    func(context.Context, ...string) (string, error) { return "", errors.New("no git") },
		stdout: &out, stderr: &errs,
	})
	return code, out.String(), errs.String()
}

// receiving is a real receiver that keeps what it was told.
type receiving struct {
	url    string
	mu     sync.Mutex
	events []*payload.Event
	bodies []string
	// of the bodies' requests
	headers []http.Header
}

// all returns what has come so far.
func (r *receiving) all() (events []*payload.Event, bodies []string, headers []http.Header) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events), slices.Clone(r.bodies), slices.Clone(r.headers)
}

func receive(t *testing.T, front func(http.Handler) http.Handler) *receiving {
	t.Helper()
	secret, err := signer.ParseSecret(secretText)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	rcv, err := receiver.New(scheme, receiver.WithDedupe(store, "ci"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	got := &receiving{}
	mux := http.NewServeMux()
	mux.Handle("/events", rcv.Events(func(_ context.Context, e *payload.Event) error {
		got.mu.Lock()
		defer got.mu.Unlock()
		got.events = append(got.events, e)
		return nil
	}))
	mux.Handle("/raw", rcv.Wrap(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got.mu.Lock()
		defer got.mu.Unlock()
		got.bodies = append(got.bodies, string(body))
		got.headers = append(got.headers, r.Header.Clone())
	})))
	var h http.Handler = mux
	if front != nil {
		h = front(mux)
	}
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	got.url = server.URL
	return got
}

func with(e env, more env) env {
	for name, value := range more {
		e[name] = value
	}
	return e
}

func target(url string) env {
	return env{"DEPLOYHOOK_URL": url, "DEPLOYHOOK_SECRET": secretText, "DEPLOYHOOK_ALLOW_NETWORK": "127.0.0.0/8"}
}

func TestAPipelineReportsItsDeployment(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		env  env
		args []string
		url  string // prefix of the pipeline's URL, for records
	}{
		"GitHub Actions": {githubPush(), []string{"-environment", "production", "-status", "success"}, "https://github.com/acme/api-service/actions/runs/67890"},
		"GitLab CI":      {gitlabPush(), nil, "https://gitlab.com/acme/api-service/-/pipelines/1001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := receive(t, nil)
			code, stdout, stderr := program(t, with(c.env, target(got.url+"/events")), c.args...)
			require.Equal(t, 0, code, stderr)
			require.Empty(t, stdout)
			require.Regexp(t, `^deploynotify: delivered success of api-service to production as whk_\w{32}: 200 after 1 attempt\n$`, stderr)
			events, _, _ := got.all()
			require.Len(t, events, 1)
			e := events[0]
			require.Equal(t, payload.DeployLive, e.Type)
			require.Equal(t, "api-service", e.App)
			require.Equal(t, "production", e.Environment)
			require.Equal(t, sha, e.Commit.SHA)
			require.Equal(t, "main", e.Commit.Branch)
			require.Equal(t, "dana", e.TriggeredBy)
			require.NotEmpty(t, e.DeploymentID)
			require.WithinDuration(t, time.Now(), e.Timestamp, time.Minute)

			target := with(c.env, target(got.url+"/raw"))
			code, _, stderr = program(t, target, append(c.args, "-format", "deployment", "-metadata", "version=2.1.0,replicas=3,canary=true")...)
			require.Equal(t, 0, code, stderr)
			_, bodies, _ := got.all()
			d, err := payload.DecodeDeployment([]byte(bodies[0]))
			require.NoError(t, err)
			require.Equal(t, e.DeploymentID, d.DeploymentID, "both formats speak of one deployment")
			require.Equal(t, payload.StatusSuccess, d.Status)
			require.True(t, strings.HasPrefix(d.PipelineURL, c.url), d.PipelineURL)
			require.Equal(t, sha, d.CommitSHA)
			replicas, ok := d.Metadata.Get("replicas")
			require.True(t, ok)
			require.Equal(t, "3", replicas.JSON())
			require.NotContains(t, bodies[0], "canary@")

			code, _, stderr = program(t, target, append(c.args, "-format", "cdevents")...)
			require.Equal(t, 0, code, stderr)
			_, bodies, headers := got.all()
			event, err := cdevents.Decode(headers[1], []byte(bodies[1]))
			require.NoError(t, err)
			require.Equal(t, "dev.cdevents.service.deployed.0.3.0", event.Type())
			back, err := event.Deployment(payload.Deployment{})
			require.NoError(t, err)
			require.Equal(t, d.DeploymentID, back.DeploymentID)
		})
	}
}

// One run that deploys to two environments makes two deployments, and a second attempt of it a third.
func TestDeploymentIDsDiffer(t *testing.T) {
	t.Parallel()
	ids := map[string]bool{}
	for _, c := range []struct{ attempt, environment string }{{"1", "staging"}, {"1", "production"}, {"2", "production"}} {
		e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText, "GITHUB_RUN_ATTEMPT": c.attempt})
		code, stdout, stderr := inProcess(e, "-environment", c.environment, "-status", "success", "-dry-run")
		require.Equal(t, 0, code, stderr)
		var r struct{ Body string }
		require.NoError(t, json.Unmarshal([]byte(stdout), &r))
		event, err := payload.DecodeEvent([]byte(r.Body))
		require.NoError(t, err)
		ids[event.DeploymentID] = true
	}
	require.Len(t, ids, 3)
}

func TestItRetriesAReceiverThatFailsTwice(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	got := receive(t, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if calls.Add(1) <= 2 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			next.ServeHTTP(w, r)
		})
	})
	code, _, stderr := program(t, with(githubPush(), target(got.url+"/events")), "-environment", "production", "-status", "success")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "200 after 3 attempts")
	events, _, _ := got.all()
	require.Len(t, events, 1)
}

func TestNotDelivered(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	t.Cleanup(hanging.Close)
	t.Cleanup(func() { close(hang) })
	const nobody = "http://127.0.0.1:1"
	got := receive(t, nil)

	for name, c := range map[string]struct {
		env  env
		args []string
		says string
	}{
		"wrong secret":          {env{"DEPLOYHOOK_URL": got.url + "/events", "DEPLOYHOOK_SECRET": "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, nil, "is the secret the receiver's"},
		"a receiver that hangs": {env{"DEPLOYHOOK_URL": hanging.URL}, []string{"-timeout", "3s"}, "deadline"},
		"no receiver":           {env{"DEPLOYHOOK_URL": nobody}, []string{"-timeout", "3s"}, "no connection"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			args := append([]string{"-environment", "production", "-status", "success"}, c.args...)
			e := with(with(githubPush(), target("")), c.env)
			code, _, stderr := program(t, e, args...)
			require.Equal(t, 1, code, stderr)
			require.Equal(t, 1, strings.Count(stderr, "\n"), "one clear line: %s", stderr)
			require.Contains(t, stderr, "not delivered")
			require.Contains(t, stderr, c.says)

			code, _, stderr = program(t, e, append(args, "-fail-open")...)
			require.Equal(t, 0, code, stderr)
			require.Contains(t, stderr, "NOT delivered")
		})
	}
	events, _, _ := got.all()
	require.Empty(t, events)
}

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

func TestDryRunPrintsTheExactRequest(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
	code, stdout, stderr := inProcess(e, "-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stderr, "nothing was sent")
	var r struct {
		Method, URL, Body string
		Headers           map[string]string
	}
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	require.Equal(t, "POST", r.Method)
	require.Equal(t, "https://hooks.example.com/deploy", r.URL)
	header := http.Header{}
	for name, value := range r.Headers {
		header.Set(name, value)
	}
	secret, err := signer.ParseSecret(secretText)
	require.NoError(t, err)
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	_, err = scheme.Verify(&http.Request{Header: header}, []byte(r.Body))
	require.NoError(t, err, "the body is the exact bytes, the signature is theirs")
	require.NotContains(t, stdout, strings.TrimPrefix(secretText, "whsec_"))

	e = with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_API_KEY": "canary-api-key-canary"})
	code, stdout, stderr = inProcess(e, "-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `"Authorization":"[redacted]"`)
	require.NotContains(t, stdout+stderr, "canary-api-key")

	e = with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
	code, stdout, stderr = inProcess(e, "-environment", "production", "-status", "success", "-dry-run", "-format", "cdevents")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, `"Ce-Type":"dev.cdevents.service.deployed.0.3.0"`)
}

func TestUsageErrors(t *testing.T) {
	t.Parallel()
	good := func() env {
		return with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
	}
	args := []string{"-environment", "production", "-status", "success", "-dry-run"}
	for name, c := range map[string]struct {
		env  env
		args []string
		says string
	}{
		"no URL":                    {env{"DEPLOYHOOK_URL": ""}, args, "DEPLOYHOOK_URL"},
		"no secret":                 {env{"DEPLOYHOOK_SECRET": ""}, args, "DEPLOYHOOK_SECRET"},
		"secret with a line end":    {env{"DEPLOYHOOK_SECRET": secretText + "\n"}, args, "white space"},
		"literal as standard":       {env{"DEPLOYHOOK_SECRET": "a-canary-literal-secret"}, args, "whsec_"},
		"key as an argument":        {nil, append(args, "whsec_canary"), "argument"},
		"token in -deploy-url":      {nil, append(args, "-deploy-url", "https://u:canary@x.example"), "-deploy-url"},
		"both credentials":          {env{"DEPLOYHOOK_API_KEY": "0123456789abcdef"}, args, "-scheme"},
		"unknown scheme":            {nil, append(args, "-scheme", "md5"), "want standard"},
		"unknown format":            {nil, append(args, "-format", "xml"), "want event"},
		"unknown flag":              {nil, []string{"-secret", "x"}, "-secret"},
		"argument":                  {nil, append(args, "extra"), "argument"},
		"no status":                 {nil, []string{"-environment", "production"}, "-status"},
		"unknown status":            {nil, []string{"-environment", "production", "-status", "meh"}, "want pending"},
		"no environment":            {nil, []string{"-status", "success"}, "-environment"},
		"rollback without version":  {nil, []string{"-environment", "production", "-status", "rolled_back"}, "-previous-version"},
		"start and finish":          {nil, append(args, "-start", "-finish"), "exclude"},
		"start with a status":       {nil, append(args, "-start"), "-status"},
		"bad network":               {nil, append(args, "-allow-network", "10.0.0.1"), "CIDR"},
		"bad metadata":              {nil, append(args, "-metadata", "version"), "name=value"},
		"plain http":                {env{"DEPLOYHOOK_URL": "http://hooks.example.com/"}, args, "https"},
		"private address":           {env{"DEPLOYHOOK_URL": "https://169.254.169.254/latest"}, args, "169.254.169.254"},
		"URL with a blank":          {env{"DEPLOYHOOK_URL": "https://hooks.example.com/a b"}, args, "URL"},
		"URL with a token":          {env{"DEPLOYHOOK_URL": "https://user:canary@hooks.example.com/"}, args, "URL"},
		"commit that is HEAD":       {nil, append(args, "-format", "deployment", "-commit", "HEAD"), "-commit"},
		"commit of the run not hex": {env{"GITHUB_SHA": "not-hex"}, append(args, "-format", "deployment"), "GITHUB_SHA"},
		"both a secret and a file":  {env{"DEPLOYHOOK_SECRET_FILE": "/nonexistent"}, args, "leave one out"},
		"bad environment twin":      {env{"DEPLOYHOOK_TIMEOUT": "soon"}, args, "DEPLOYHOOK_TIMEOUT"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, stdout, stderr := inProcess(with(good(), c.env), c.args...)
			require.Equal(t, 2, code, stderr)
			require.Empty(t, stdout)
			require.Contains(t, stderr, c.says)
			require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
			require.NotContains(t, stderr, strings.TrimPrefix(secretText, "whsec_"))
			require.NotContains(t, stderr, "canary")
		})
	}
}

func TestCredentialsFromFiles(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(path, []byte(secretText+"\n"), 0o600))
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET_FILE": path})
	code, stdout, stderr := inProcess(e, "-environment", "production", "-status", "success", "-dry-run")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "Webhook-Signature")
}

func TestHelp(t *testing.T) {
	t.Parallel()
	code, stdout, _ := inProcess(env{"DEPLOYHOOK_SECRET": secretText}, "-h")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "DEPLOYHOOK_SECRET")
	require.NotContains(t, stdout, secretText)
	require.Contains(t, stdout, "-allow-network CIDR")
	require.Contains(t, stdout, "-dry-run\n", "the flags are listed")
}

// Every word that CI systems have for an outcome is understood.
func TestStatusWords(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"success": "deploy.live", "Succeeded": "deploy.live", "SUCCESS": "deploy.live", "0": "deploy.live", "passed": "deploy.live",
		"failure": "deploy.failed", "Failed": "deploy.failed", "FAILURE": "deploy.failed", "1": "deploy.failed",
		"cancelled": "deploy.failed", "Canceled": "deploy.failed", "ABORTED": "deploy.failed", "in_progress": "deploy.started",
	} {
		e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
		code, stdout, stderr := inProcess(e, "-environment", "production", "-status", word, "-dry-run")
		require.Equal(t, 0, code, "%s: %s", word, stderr)
		require.Contains(t, stdout, `\"event\":\"`+want+`\"`, word)
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

// The environment is often the whole job's, a flag one step's: the flag silences the variables that it excludes.
func TestFlagsSilenceTheVariablesTheyExclude(t *testing.T) {
	t.Parallel()
	for flagName, variable := range map[string]string{"-start": "DEPLOYHOOK_STATUS=success", "-finish": "DEPLOYHOOK_START=true"} {
		name, value, _ := strings.Cut(variable, "=")
		e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/", "DEPLOYHOOK_SECRET": secretText, name: value, "RUNNER_TEMP": t.TempDir()})
		args := []string{"-environment", "production", "-dry-run", flagName}
		if flagName == "-finish" {
			args = append(args, "-status", "success")
		}
		code, _, stderr := inProcess(e, args...)
		require.Equal(t, 0, code, "%s: %s", flagName, stderr)
	}
}

// A URL that is refused is so in a dry run, too, and both name the flag that opens a network.
func TestRefusedURLNamesTheFlag(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "http://10.0.0.1/", "DEPLOYHOOK_SECRET": secretText})
	for _, more := range [][]string{nil, {"-dry-run"}} {
		code, _, stderr := inProcess(e, append([]string{"-environment", "production", "-status", "success"}, more...)...)
		require.Equal(t, 2, code, stderr)
		require.Contains(t, stderr, "-allow-network", more)
	}
}

// A name that resolves to a private address is the network's doing: -fail-open covers it, where a bad URL stays wrong usage.
func TestFailOpenCoversWhatTheNetworkDoes(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://localhost/", "DEPLOYHOOK_SECRET": secretText})
	args := []string{"-environment", "production", "-status", "success"}
	code, _, stderr := inProcess(e, args...)
	require.Equal(t, 1, code, stderr)
	require.Contains(t, stderr, "-allow-network")
	code, _, stderr = inProcess(e, append(args, "-fail-open")...)
	require.Equal(t, 0, code, stderr)
}
