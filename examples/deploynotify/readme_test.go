package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
)

const published = "go run github.com/deployhook/deployhook/examples/deploynotify@latest"

// Runs the README's bash snippets against a real receiver. Only the program's
// location is replaced.
func TestReadme_BashSnippetsRun(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "openssl"} {
		servicetest.Program(t, tool)
	}
	snippets := blocks(t, "bash")
	require.Len(t, snippets, 4)
	for i, want := range [][]payload.Type{
		{payload.DeployLive}, {payload.DeployStarted, payload.DeployFailed}, {payload.DeployLive}, {payload.DeployLive},
	} {
		got := receive(t, nil)
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "deploy.sh"), []byte("#!/bin/sh\nexit 3\n"), 0o700))
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", strings.ReplaceAll(snippets[i], published, "notify"))
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH"), "TMPDIR=" + dir, "HOME=" + dir}
		for name, value := range with(githubPush(), target(got.url+"/events")) {
			cmd.Env = append(cmd.Env, name+"="+value)
		}
		self, err := os.Executable()
		require.NoError(t, err)
		script := "#!/bin/sh\n" + asProgram + "=1 exec '" + self + "' \"$@\"\n"
		require.NoError(t, os.WriteFile(filepath.Join(dir, "notify"), []byte(script), 0o700))
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s\n%s", snippets[i], out)
		var types []payload.Type
		events, _, _ := got.all()
		for _, e := range events {
			types = append(types, e.Type)
		}
		require.Equal(t, want, types, snippets[i])
	}
}

// Runs the step of the README. Only the location of the release is replaced.
func TestReadme_BitbucketStepVerifiesTheBinary(t *testing.T) {
	t.Parallel()
	steps(t) // skips the test where these shells are missing
	var step string
	for _, block := range blocks(t, "yaml") {
		if _, text, found := strings.Cut(block, "    after-script:\n      - |\n"); found {
			step = regexp.MustCompile(`(?m)^        `).ReplaceAllString(text, "")
		}
	}
	const published = "https://github.com/deployhook/deployhook/releases/download/v0.1.0/deploynotify_0.1.0_linux_amd64"
	require.Contains(t, step, published)
	m, got := newMirror(t), receive(t, nil)
	name := "/" + release + "/" + binaryName()
	binary, _ := m.file(name)
	step = strings.ReplaceAll(step, published, m.url+name)
	bitbucket := env{
		"CI": "true", "BITBUCKET_BUILD_NUMBER": "7", "BITBUCKET_COMMIT": sha, "BITBUCKET_BRANCH": "main", "BITBUCKET_REPO_FULL_NAME": "acme/api",
		"BITBUCKET_DEPLOYMENT_ENVIRONMENT": "production", "BITBUCKET_EXIT_CODE": "1", "CURL_CA_BUNDLE": m.authority,
		"DEPLOYNOTIFY_SHA256": digest(binary),
	}
	for _, shell := range []string{"sh", "bash"} {
		script := "cd \"$TMPDIR\"\n" + step
		code, out, _ := runStep(t, []string{shell, "-c", script}, with(bitbucket, target(got.url+"/events")))
		require.Equal(t, 0, code, out)
		code, out, _ = runStep(t, []string{shell, "-c", script}, with(with(env{}, bitbucket), env{"DEPLOYNOTIFY_SHA256": digest("another")}))
		require.NotEqual(t, 0, code, out)
		require.NotContains(t, out, "delivered", "it was not run")
	}
	events, _, _ := got.all()
	require.Len(t, events, 2)
	require.Equal(t, payload.DeployFailed, events[0].Type)
}

// The inputs exist, and the required ones are given.
func TestReadme_ActionsInputsExist(t *testing.T) {
	t.Parallel()
	action, err := os.ReadFile("action.yml")
	require.NoError(t, err)
	var with string
	for _, block := range blocks(t, "yaml") {
		if strings.Contains(block, "uses: deployhook/deployhook/examples/deploynotify@") {
			_, with, _ = strings.Cut(block, "  with:\n")
		}
	}
	given := regexp.MustCompile(`(?m)^    ([a-z-]+): `).FindAllStringSubmatch(with, -1)
	require.GreaterOrEqual(t, len(given), 5)
	for _, input := range given {
		require.Contains(t, string(action), "\n  "+input[1]+":\n")
	}
	for _, input := range regexp.MustCompile(`(?m)^  ([a-z-]+):\n.*\n    required: true$`).FindAllStringSubmatch(string(action), -1) {
		require.Contains(t, with, "    "+input[1]+": ")
	}
}

// All other snippets call the program with valid flags.
func TestReadme_CallsParse(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	calls := regexp.MustCompile(`(?:`+regexp.QuoteMeta(published)+`|\./deploynotify)([^\n']*)`).FindAllStringSubmatch(string(text), -1)
	require.GreaterOrEqual(t, len(calls), 9)
	for _, call := range calls {
		args := strings.Fields(regexp.MustCompile(`"\$\{?[^"]*"`).ReplaceAllString(call[1], "0"))
		_, err := parse(args, system{getenv: func(string) string { return "" }, stdout: os.Stderr})
		require.ErrorContains(t, err, "no URL", "%v: only what the environment gives is missing", args)
	}
}

func blocks(t *testing.T, language string) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var out []string
	for _, rest := range strings.Split(string(text), "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		out = append(out, block)
	}
	return out
}
