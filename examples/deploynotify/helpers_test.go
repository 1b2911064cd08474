package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	secretText = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	sha        = "f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9f4c8e2a9"
	asProgram  = "DEPLOYNOTIFY_TEST_AS_PROGRAM"
)

// The test binary becomes the program if an environment variable says so. Tests
// run it as a process this way.
func TestMain(m *testing.M) {
	if os.Getenv(asProgram) == "1" {
		main()
		return
	}
	leaktest.Parallel(8)
	leaktest.Main(m)
}

type env map[string]string

// githubPush returns the environment of GitHub Actions on a push.
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

// program runs deploynotify as a process with only the given environment.
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

// inProcess runs the program in this process, for tests that never send.
func inProcess(e env, args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	code = run(context.Background(), args, system{
		getenv: func(name string) string { return e[name] }, files: fstest.MapFS{},
		git:    func(context.Context, ...string) (string, error) { return "", errors.New("no git") },
		proxy:  func(*http.Request) (*url.URL, error) { return nil, nil },
		stdout: &out, stderr: &errs,
	})
	return code, out.String(), errs.String()
}

// receiving is a real receiver that records its requests.
type receiving struct {
	url    string
	mu     sync.Mutex
	events []*payload.Event
	bodies []string
	// of the requests with these bodies
	headers []http.Header
}

// all returns everything that was received so far.
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
