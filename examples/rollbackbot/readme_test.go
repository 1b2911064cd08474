package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/programtest"
	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/signer"
)

// testReadme runs the README's commands against a running platform and bot.
// Only the ports and the patience are replaced.
func testReadme(t *testing.T, p *programtest.Process) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl", "sed", "grep"} {
		servicetest.Program(t, tool)
	}
	blocks := readme(t, "bash")
	require.Len(t, blocks, 3)
	require.Contains(t, blocks[0], "go run ./examples/platform -addr 127.0.0.1:8080 -allow-networks 127.0.0.0/8 &\n")
	_, rest, ok := strings.Cut(blocks[0], "go run ./examples/rollbackbot -addr 127.0.0.1:8082 ")
	require.True(t, ok)
	flags := strings.TrimSuffix(rest, " &\n")
	require.Contains(t, flags, "-patience 20s")

	secret := signer.GenerateSecret().Reveal()
	flags = strings.NewReplacer("-patience 20s", "-patience "+soon, "http://127.0.0.1:8080", p.Base).Replace(flags)
	b := startBot(t, t.TempDir(), []string{"ROLLBACKBOT_SECRET=" + secret}, strings.Fields(flags)...)
	script := strings.NewReplacer("http://127.0.0.1:8080", p.Base, "http://127.0.0.1:8082", b.Base).Replace(strings.Join(blocks[1:], "\n"))
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + cmd.Dir, "ROLLBACKBOT_SECRET=" + secret}
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s\n%s", out, b.Output())
	for _, line := range []string{"msg=tested app=shop", "msg=smoke_test.failed app=shop environment=production", `result="rolled back"`} {
		require.Contains(t, b.Output(), line)
	}
}

// The README's checks are valid.
func TestReadme_Checks(t *testing.T) {
	t.Parallel()
	blocks := readme(t, "json")
	require.Len(t, blocks, 1)
	file := filepath.Join(t.TempDir(), "checks.json")
	require.NoError(t, os.WriteFile(file, []byte(blocks[0]), 0o600))
	o, err := parse([]string{"-checks", file}, func(string) string { return "x" }, os.Stderr)
	require.NoError(t, err)
	require.Len(t, o.checks, 3)
}

// readme returns the README's blocks of a language.
func readme(t *testing.T, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, rest := range strings.Split(string(text), "```"+language+"\n")[1:] {
		block, _, _ := strings.Cut(rest, "```")
		blocks = append(blocks, block)
	}
	return blocks
}
