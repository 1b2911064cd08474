package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/internal/recoverytest"
	"github.com/deployhook/deployhook/receiver"
	"github.com/deployhook/deployhook/signer"
)

const (
	platformToken = "canary-token-of-the-platform"
	hookSecret    = "a webhook secret of some length"
)

// countingReceiver is a real receiver that counts the calls of its handler.
func countingReceiver(t *testing.T, v signer.Verifier) (http.Handler, *atomic.Int32) {
	t.Helper()
	store, err := dedupe.NewMemory()
	require.NoError(t, err)
	t.Cleanup(func() { _ = store.Close() })
	rcv, err := receiver.New(v, receiver.WithDedupe(store, "test"), receiver.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	calls := new(atomic.Int32)
	return rcv.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) })), calls
}

// newGitHubLog serves a fake of GitHub with 205 deliveries. Five of them were
// missed, and one of these is handled.
func newGitHubLog(t *testing.T, path string) (api *recoverytest.GitHub, url string, calls *atomic.Int32) {
	t.Helper()
	secret, err := signer.NewLiteralSecret(hookSecret)
	require.NoError(t, err)
	scheme, err := signer.NewGitHub(secret)
	require.NoError(t, err)
	rcv, calls := countingReceiver(t, scheme)
	api = &recoverytest.GitHub{Path: path, Secret: hookSecret, Fake: recoverytest.Fake{Receiver: rcv, Token: platformToken}}
	for range 100 {
		api.Publish(recoverytest.Accepted)
	}
	for _, way := range []recoverytest.Way{recoverytest.Unreachable, recoverytest.Failing, recoverytest.TimedOut, recoverytest.Failing, recoverytest.Unreachable} {
		api.Publish(way)
	}
	for range 100 {
		api.Publish(recoverytest.Accepted)
	}
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	return api, server.URL, calls
}

func recoverArgs(url string, more ...string) []string {
	return append([]string{"recover", "-api", url, "-insecure-http", "-pace", "0", "-github-repo", "acme/api", "-hook", "7"}, more...)
}

const repositoryPath = "/repos/acme/api/hooks/7/deliveries"

func TestRecover_GitHub(t *testing.T) {
	t.Parallel()
	api, url, calls := newGitHubLog(t, repositoryPath)
	e := env{platformVariable: platformToken}
	require.EqualValues(t, 201, calls.Load())

	r := inProcess(e, "", recoverArgs(url, "-dry-run")...)
	require.Equal(t, exitFault, r.code, r.stderr)
	require.Contains(t, r.stdout, "205 attempts read, 5 missed: 5 listed\n")
	require.Contains(t, r.stdout, "deployment_status.created  1         failed to connect")
	require.Empty(t, api.Asked())

	r = inProcess(e, "", recoverArgs(url)...)
	require.Equal(t, exitFine, r.code, r.stderr)
	require.Contains(t, r.stdout, "205 attempts read, 5 missed: 5 asked\n")
	require.Contains(t, r.stderr, "read 100 attempts\n")
	require.Contains(t, r.stderr, "asked for 5 of 5\n")
	require.EqualValues(t, 205, calls.Load(), "the one that timed out is a duplicate")

	r = inProcess(e, "", recoverArgs(url)...)
	require.Equal(t, result{exitFine, "210 attempts read, 0 missed\n", r.stderr}, r)
	require.Empty(t, api.Violations())
	require.Zero(t, api.Needless())
}

func TestRecover_JSON(t *testing.T) {
	t.Parallel()
	_, url, _ := newGitHubLog(t, repositoryPath)
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte(platformToken+"\n"), 0o600))
	r := inProcess(env{platformVariable + "_FILE": file}, "", recoverArgs(url, "-json", "-max", "2", "-since", "1h", "-event", "push,deployment_status")...)
	require.Equal(t, exitFine, r.code, r.stderr)
	lines := r.lines(t)
	require.Len(t, lines, 6)
	for i, line := range lines[:5] {
		require.Equal(t, "missed", line["kind"])
		require.Equal(t, map[bool]any{true: "asked", false: "deferred"}[i < 2], line["outcome"])
		require.Equal(t, "deployment_status", line["event"])
	}
	summary := lines[5]
	require.Equal(t, "summary", summary["kind"])
	require.Equal(t, map[string]any{"asked": 2.0, "deferred": 3.0}, summary["outcomes"])
	require.NotEmpty(t, summary["completeUntil"])
}

// A receiver that is still down makes GitLab's resend fail.
func TestRecover_GitLab(t *testing.T) {
	t.Parallel()
	scheme, err := signer.NewStandard(signer.GenerateSecret())
	require.NoError(t, err)
	rcv, _ := countingReceiver(t, scheme)
	api := &recoverytest.GitLab{Path: "/projects/acme%2Fapi/hooks/7/events", Fake: recoverytest.Fake{Receiver: rcv, Token: platformToken}}
	api.Again = func(string, int) recoverytest.Way { return recoverytest.Failing }
	for range 3 {
		api.Publish(recoverytest.Failing)
	}
	server := httptest.NewServer(api)
	defer server.Close()
	args := []string{"recover", "-api", server.URL, "-insecure-http", "-pace", "0", "-gitlab-project", "acme/api", "-hook", "7"}
	r := inProcess(env{platformVariable: platformToken}, "", args...)
	require.Equal(t, exitFault, r.code)
	require.Contains(t, r.stdout, "3 attempts read, 3 missed: 1 deferred, 2 failed\n")
	require.Contains(t, r.stdout, "failed: the receiver answered 503")
}

func TestRecover_GitHubApp(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	text := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})
	var authorization atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		authorization.Store(r.URL.Path + " " + r.Header.Get("Authorization"))
		_, _ = w.Write([]byte("[]"))
	}))
	defer server.Close()
	r := inProcess(env{appKeyVariable: string(text)}, "", "recover", "-github-app", "Iv1", "-api", server.URL, "-insecure-http")
	require.Equal(t, result{exitFine, "0 attempts read, 0 missed\n", "read 0 attempts\n"}, r)
	require.Contains(t, authorization.Load(), "/app/hook/deliveries Bearer eyJ")
}

func TestRecover_Failures(t *testing.T) {
	t.Parallel()
	_, url, _ := newGitHubLog(t, repositoryPath)
	good := env{platformVariable: platformToken}
	for name, test := range map[string]struct {
		e    env
		args []string
		code int
		says string
	}{
		"no log":       {good, []string{"recover"}, exitUsage, "name one log"},
		"two logs":     {good, []string{"recover", "-github-org", "a", "-gitlab-group", "b"}, exitUsage, "name one log"},
		"no hook":      {good, []string{"recover", "-github-org", "a"}, exitUsage, "-hook"},
		"App and hook": {good, []string{"recover", "-github-app", "a", "-hook", "7"}, exitUsage, "-hook"},
		"bad name":     {good, []string{"recover", "-github-repo", "acme", "-hook", "7"}, exitUsage, "-github-repo"},
		"no token":     {nil, recoverArgs(url), exitUsage, "set HOOKTOOL_PLATFORM_TOKEN"},
		"no key":       {good, []string{"recover", "-github-app", "a"}, exitUsage, "set HOOKTOOL_GITHUB_APP_KEY"},
		"bad key":      {env{appKeyVariable: "canary"}, []string{"recover", "-github-app", "a"}, exitUsage, "PEM"},
		"http":         {good, []string{"recover", "-github-org", "a", "-hook", "7", "-api", "http://x"}, exitUsage, "-api"},
		"since":        {good, recoverArgs(url, "-since", "yesterday"), exitUsage, "-since"},
		"max":          {good, recoverArgs(url, "-max", "0"), exitUsage, "-max: 0"},
		"argument":     {good, recoverArgs(url, "more"), exitUsage, "unexpected"},
		"bad token":    {env{platformVariable: "canary-other"}, recoverArgs(url), exitFault, "the API denies access: 401"},
		"unknown hook": {good, append(recoverArgs(url), "-hook", "8"), exitFault, "the API denies access: 404"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := inProcess(test.e, "", test.args...)
			require.Equal(t, test.code, r.code, r.stderr)
			require.Contains(t, r.stderr, test.says)
			require.NotContains(t, r.stdout+r.stderr, "canary")
			require.NotContains(t, r.stderr, "recovery:")
			require.NotContains(t, r.stderr, "With")
			require.NotContains(t, r.stdout, "missed")
		})
	}
}

// A long wait ends with -timeout, and says so.
func TestRecover_Interrupted(t *testing.T) {
	t.Parallel()
	api, url, _ := newGitHubLog(t, repositoryPath)
	api.PerHour = 2
	started := time.Now()
	r := inProcess(env{platformVariable: platformToken}, "", recoverArgs(url, "-timeout", "2s")...)
	require.Equal(t, exitInterrupted, r.code)
	require.Contains(t, r.stderr, "UTC for the API's rate limit")
	require.Contains(t, r.stderr, "-timeout expired")
	require.Less(t, time.Since(started), time.Minute)
	require.Equal(t, 0, strings.Count(r.stdout, "asked"))
}
