package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

// Runs the README's commands against a running platform and receiver. Only the
// ports are replaced.
func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "sed"} {
		servicetest.Program(t, tool)
	}
	snippets := bashBlocks(t)
	require.Len(t, snippets, 7)
	require.Equal(t, "go run ./examples/platform -demo\n", snippets[0]) // TestDemo runs it
	flags := checkStarts(t, snippets[1])

	c := listen(t)
	secret := signer.GenerateSecret().Reveal()
	c.accept(secret)
	p := start(t, t.TempDir(), nil, flags...)
	require.NotNil(t, p.api, p.output())
	script := strings.Join(snippets[2:], "\n")
	for from, to := range map[string]string{
		"http://127.0.0.1:8080": p.api.base, "http://127.0.0.1:8081": strings.TrimSuffix(c.url, "/hooks/canary-in-the-url"),
	} {
		require.Contains(t, script, from)
		script = strings.ReplaceAll(script, from, to)
	}
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "DEPLOYHOOK_SECRET=" + secret}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, p.output())
	for _, want := range []string{`"step":"done"`, "hello from shop v1", `"body":"{\"received\":true`, `"complete":true`, `"code":"read_only"`, `"state":"disabled"`, `"secret":"whsec_`} {
		require.Contains(t, string(out), want)
	}
	var types []payload.Type
	for _, e := range c.all() {
		types = append(types, e.Type)
	}
	require.Equal(t, []payload.Type{"webhook.test", payload.DeployStarted, payload.HealthCheckPassed, payload.DeployLive}, types, "once each, despite the replays")
	var left struct{ Items []struct{ ID string } }
	p.must(http.StatusOK, "GET", "/webhooks/apps/shop/endpoints", "", &left)
	require.Empty(t, left.Items)
	require.Zero(t, p.stop(syscall.SIGTERM))
}

// checkStarts checks the block that starts the programs on fixed ports, and
// returns the platform's flags.
func checkStarts(t *testing.T, block string) []string {
	t.Helper()
	require.FileExists(t, filepath.Join("..", "receiver", "main.go"))
	for _, line := range strings.Split(block, "\n") {
		if rest, ok := strings.CutPrefix(line, "go run ./examples/platform "); ok {
			flags := strings.Fields(strings.TrimSuffix(rest, " &"))
			o, err := parse(flags, func(string) string { return "" }, os.Stderr)
			require.NoError(t, err)
			require.Equal(t, "127.0.0.1:8080", o.addr)
			return flags[2:]
		}
	}
	t.Fatal("the README does not start the platform")
	return nil
}

func bashBlocks(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	var out []string
	for _, rest := range strings.Split(string(text), "```bash\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		out = append(out, block)
	}
	return out
}
