package main

import (
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/servicetest"
	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/signer"
)

// This compiles the snippet of the repository's README.
var _ = readmeDeployments

func readmeDeployments(mux *http.ServeMux, keys *signer.APIKeys, ledger deployments.Ledger, linker deployments.Linker) error {
	endpoint, err := deployments.New(keys, ledger, deployments.WithLinker(linker)) // keys from signer.NewAPIKeys
	if err != nil {
		return err
	}
	mux.Handle("POST /api/webhooks/deployments", endpoint)
	return nil
}

// The README's calls run, and the first ones have the answers that the README
// shows.
func TestReadme(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		servicetest.Program(t, tool)
	}
	calls := readmeBlocks(t, "bash")
	require.Len(t, calls, 2)
	p := start(t, []string{"DEPLOYHOOK_API_KEYS=acme=dhk_change_me_0123456789"})
	require.NotEmpty(t, p.base, p.output())
	run := func(script string) string {
		script = strings.ReplaceAll(script, "http://127.0.0.1:8080", p.base)
		require.NotContains(t, script, ":8080/")
		script = "curl() { command curl --fail-with-body \"$@\" && echo; }\n" + script
		out, err := exec.CommandContext(t.Context(), "bash", "-euc", script).CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	assert.Equal(t, readmeBlocks(t, "text")[0], run(calls[0]))
	assert.Contains(t, run(calls[1]), "{\"action\":\"created\",\"incidentId\":\"7\"}\norganization,service,environment,")
	assert.Zero(t, p.stop())
}

// readmeBlocks returns the README's blocks of a language.
func readmeBlocks(t *testing.T, language string) (blocks []string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, rest := range strings.Split(string(text), "```"+language+"\n")[1:] {
		block, _, ok := strings.Cut(rest, "```")
		require.True(t, ok)
		blocks = append(blocks, block)
	}
	require.NotEmpty(t, blocks)
	return blocks
}
