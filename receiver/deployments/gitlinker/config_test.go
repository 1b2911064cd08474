package gitlinker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/deployments"
	"github.com/deployhook/deployhook/receiver/deployments/gitlinker"
)

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := gitlinker.New(nil, gitlinker.WithTimeout(-1), gitlinker.WithMaxCommits(-1), gitlinker.WithProcesses(-1))
	require.ErrorIs(t, err, gitlinker.ErrConfig)
	for _, text := range []string{"lookup is nil", "WithTimeout", "WithMaxCommits", "WithProcesses"} {
		require.ErrorContains(t, err, text, "all at once")
	}
	lookup := gitlinker.ByService("acme", nil)
	_, err = gitlinker.New(lookup, gitlinker.WithGit("/no/such/git"))
	require.ErrorIs(t, err, gitlinker.ErrConfig)
	require.ErrorContains(t, err, "WithGit")
	_, err = gitlinker.New(lookup, nil)
	require.ErrorIs(t, err, gitlinker.ErrConfig)
	_, err = gitlinker.New(lookup, gitlinker.WithTimeout(0), gitlinker.WithMaxCommits(0), gitlinker.WithProcesses(0), gitlinker.WithGit(""))
	for _, text := range []string{"WithTimeout(0s)", "WithMaxCommits(0)", "WithProcesses(0)", "WithGit: the path is empty"} {
		require.ErrorContains(t, err, text)
	}
}

func TestLinker_NilAndZero(t *testing.T) {
	t.Parallel()
	for _, l := range []*gitlinker.Linker{nil, {}} {
		_, err := l.LinkedPRs(t.Context(), deployments.Link{})
		require.ErrorIs(t, err, gitlinker.ErrConfig)
		require.ErrorContains(t, err, "New")
	}
}
