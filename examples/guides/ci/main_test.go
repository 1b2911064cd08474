package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/guides/internal/guidetest"
	"github.com/deployhook/deployhook/internal/servicetest"
)

func TestMain(m *testing.M) { guidetest.Main(m, main) }

func TestReadme_SnippetsAreInTheProgram(t *testing.T) {
	t.Parallel()
	guidetest.CheckSnippets(t)
}

func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"curl", "openssl"} {
		servicetest.Program(t, tool)
	}
	notify := filepath.Join(t.TempDir(), "deploynotify")
	text, err := exec.CommandContext(t.Context(), "go", "build", "-o", notify, "../../deploynotify").CombinedOutput()
	require.NoError(t, err, string(text))
	// deploynotify runs without the variables of the system that runs this test
	out := guidetest.Shell(t, "bash", nil, []string{"XDG_CACHE_HOME=" + t.TempDir()},
		"go build -o deploynotify ./examples/deploynotify\n", "ln -s '"+notify+"' deploynotify\n", "8090", guidetest.Port(t))
	guidetest.CheckOutput(t, out)
	for _, want := range []string{
		"got deploy.started   web   local-1", "got deploy.live      web   local-1", "got deploy.failed    api   local-2", "exit 0\nexit 1\nexit 0\nexit 2\n",
	} {
		require.Contains(t, out, want)
	}
}

func TestServe_NeedsASecret(t *testing.T) {
	t.Parallel()
	require.Empty(t, os.Getenv("DEPLOYHOOK_SECRET"))
	require.ErrorContains(t, guidetest.Start(t, nil, "-serve", "127.0.0.1:0").Wait(), "DEPLOYHOOK_SECRET")
}
