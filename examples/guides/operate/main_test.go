package main

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/examples/guides/internal/guidetest"
)

func TestMain(m *testing.M) { guidetest.Main(m, main) }

func TestReadme_SnippetsAreInTheProgram(t *testing.T) {
	t.Parallel()
	guidetest.CheckSnippets(t)
}

func TestReadme_CommandsRun(t *testing.T) {
	t.Parallel()
	out := guidetest.Shell(t, "bash", nil, nil)
	guidetest.CheckOutput(t, out)
	// CheckOutput does not compare digits
	require.Contains(t, out, "handled 3 events")
	require.Contains(t, out, "handled 4 events")
	require.Contains(t, out, "sealed again with the new key                        1 endpoint\n")
}

// The program works in a folder that is given, and leaves the outbox there.
func TestRun_InAFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := guidetest.Start(t, nil, "-dir", dir)
	require.NoError(t, p.Wait())
	require.FileExists(t, dir+"/outbox.db")
}
