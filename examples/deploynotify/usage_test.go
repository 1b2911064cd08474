package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

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
		"no URL":                     {env{"DEPLOYHOOK_URL": ""}, args, "DEPLOYHOOK_URL"},
		"neither URL nor secret":     {env{"DEPLOYHOOK_URL": "", "DEPLOYHOOK_SECRET": ""}, args, "no URL and no secret; set DEPLOYHOOK_URL and DEPLOYHOOK_SECRET"},
		"no secret":                  {env{"DEPLOYHOOK_SECRET": ""}, args, "DEPLOYHOOK_SECRET"},
		"secret with a line end":     {env{"DEPLOYHOOK_SECRET": secretText + "\n"}, args, "white space"},
		"literal as standard":        {env{"DEPLOYHOOK_SECRET": "a-canary-literal-secret"}, args, "whsec_"},
		"key as an argument":         {nil, append(args, "whsec_canary"), "argument"},
		"token in -deploy-url":       {nil, append(args, "-deploy-url", "https://u:canary@x.example"), "-deploy-url"},
		"both credentials":           {env{"DEPLOYHOOK_API_KEY": "0123456789abcdef"}, args, "-scheme"},
		"unknown scheme":             {nil, append(args, "-scheme", "md5"), "want standard"},
		"unknown format":             {nil, append(args, "-format", "xml"), "want event"},
		"unknown flag":               {nil, []string{"-secret", "x"}, "-secret"},
		"argument":                   {nil, append(args, "extra"), "argument"},
		"no status":                  {nil, []string{"-environment", "production"}, "-status"},
		"unknown status":             {nil, []string{"-environment", "production", "-status", "meh"}, "want pending"},
		"no environment":             {nil, []string{"-status", "success"}, "-environment"},
		"rollback without version":   {nil, []string{"-environment", "production", "-status", "rolled_back"}, "-previous-version"},
		"start and finish":           {nil, append(args, "-start", "-finish"), "exclude"},
		"start with a status":        {nil, append(args, "-start"), "-status"},
		"bad network":                {nil, append(args, "-allow-network", "10.0.0.1"), "CIDR"},
		"bad metadata":               {nil, append(args, "-metadata", "version"), "name=value"},
		"plain http":                 {env{"DEPLOYHOOK_URL": "http://hooks.example.com/"}, args, "https"},
		"private address":            {env{"DEPLOYHOOK_URL": "https://169.254.169.254/latest"}, args, "169.254.169.254"},
		"URL with a blank":           {env{"DEPLOYHOOK_URL": "https://hooks.example.com/a b"}, args, "URL"},
		"URL with a token":           {env{"DEPLOYHOOK_URL": "https://user:canary@hooks.example.com/"}, args, "URL"},
		"commit that is HEAD":        {nil, append(args, "-format", "deployment", "-commit", "HEAD"), "-commit"},
		"commit of the run not hex":  {env{"GITHUB_SHA": "not-hex"}, append(args, "-format", "deployment"), "GITHUB_SHA"},
		"both a secret and a file":   {env{"DEPLOYHOOK_SECRET_FILE": "/nonexistent"}, args, "leave one out"},
		"bad environment variableOf": {env{"DEPLOYHOOK_TIMEOUT": "soon"}, args, "DEPLOYHOOK_TIMEOUT"},
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

// Other platforms have their own types, so an unknown one is sent, but a typing
// mistake is visible.
func TestUnknownEventTypeIsNoted(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://hooks.example.com/deploy", "DEPLOYHOOK_SECRET": secretText})
	for event, noted := range map[string]bool{"deploy.liev": true, "deploy.live": false, "health_check.passed": false} {
		code, _, stderr := inProcess(e, "-environment", "production", "-event", event, "-dry-run")
		require.Equal(t, 0, code, stderr)
		require.Equal(t, noted, strings.Contains(stderr, "("+event+" is not a standard event type)"), stderr)
	}
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

// All words of CI systems for an outcome are understood.
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

// A variable is often set for the whole job, but a flag for one step. A flag
// overrides the variables that it excludes.
func TestFlags_OverrideVariablesTheyExclude(t *testing.T) {
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

// A dry run refuses the same URLs. Both errors name the flag that allows a
// network.
func TestRefusedURLNamesTheFlag(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "http://10.0.0.1/", "DEPLOYHOOK_SECRET": secretText})
	for _, more := range [][]string{nil, {"-dry-run"}} {
		code, _, stderr := inProcess(e, append([]string{"-environment", "production", "-status", "success"}, more...)...)
		require.Equal(t, 2, code, stderr)
		require.Contains(t, stderr, "-allow-network", more)
	}
}

// -fail-open covers a name that resolves to a private address, because that
// depends on the network. An invalid URL is still wrong usage.
func TestFailOpen_CoversNetworkErrors(t *testing.T) {
	t.Parallel()
	e := with(githubPush(), env{"DEPLOYHOOK_URL": "https://localhost/", "DEPLOYHOOK_SECRET": secretText})
	args := []string{"-environment", "production", "-status", "success"}
	code, _, stderr := inProcess(e, args...)
	require.Equal(t, 1, code, stderr)
	require.Contains(t, stderr, "-allow-network")
	code, _, stderr = inProcess(e, append(args, "-fail-open")...)
	require.Equal(t, 0, code, stderr)
}

// A GitLab job with action: stop deploys nothing. The error says so, instead of
// asking for a flag.
func TestStopJob_ErrorNamesReason(t *testing.T) {
	t.Parallel()
	e := gitlabPush()
	e["CI_ENVIRONMENT_ACTION"], e["DEPLOYHOOK_SECRET"] = "stop", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	code, _, stderr := program(t, e, "-url", "https://hooks.example.com/deploy", "-dry-run")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "CI_ENVIRONMENT_ACTION says that this job does not deploy")
	require.Contains(t, stderr, "give -status")
}
