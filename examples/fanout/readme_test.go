package main

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

// Runs the README's commands against a running platform, a fan-out and two
// services. Only the ports are replaced.
func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("the platform passes sockets to its apps, which Windows can't")
	}
	for _, tool := range []string{"bash", "curl", "grep"} {
		servicetest.Program(t, tool)
	}
	blocks := readme(t)
	require.Len(t, blocks, 3)
	for _, line := range []string{
		"go run ./examples/platform -addr 127.0.0.1:8080 -allow-networks 127.0.0.0/8 &\n",
		"go run ./examples/fanout -addr 127.0.0.1:8083 -allow-networks 127.0.0.0/8 &\n",
	} {
		require.Contains(t, blocks[0], line)
	}
	p := programtest.StartPlatform(t)
	w := newWorld(t)
	f := w.start()
	chat, audit := w.unregistered("chat"), w.unregistered("audit")
	script := strings.NewReplacer("http://127.0.0.1:8080", p.Base, "http://127.0.0.1:8083", f.Base,
		"http://127.0.0.1:8091", chat.url, "http://127.0.0.1:8092", audit.url).Replace(strings.Join(blocks[1:], "\n"))
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = append(w.env(), "CHAT_SECRET="+chat.secret.Reveal(), "AUDIT_SECRET="+audit.secret.Reveal())
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, f.Output())

	deployments := chat.deployments()
	require.Len(t, deployments, 1)
	require.Equal(t, deployments, audit.deployments())
	got := chat.of(deployments[0])
	require.Len(t, got, 1, "one type of event passes its filter")
	require.Equal(t, deployments[0]+":deploy.live", got[0].event, "the platform's ID of the event")
	require.Contains(t, string(out), got[0].delivery)
}

// readme returns the README's blocks of commands.
func readme(t *testing.T) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, rest := range strings.Split(string(text), "```bash\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		blocks = append(blocks, block)
	}
	return blocks
}
