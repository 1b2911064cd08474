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
	require.Contains(t, out, "delivered")
}
