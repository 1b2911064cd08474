package recovery_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/recovery"
)

func TestNew_ReportsAllMistakes(t *testing.T) {
	t.Parallel()
	_, err := recovery.New(recovery.Log{}, nil, nil, recovery.WithTransport(nil), recovery.WithLogger(nil), recovery.WithObserver(nil),
		recovery.WithProgress(nil), recovery.WithEvents(), recovery.WithInterval(time.Second), recovery.WithTimeout(0), recovery.WithMaxWait(-1),
		recovery.WithPace(-1), recovery.WithMaxAsks(0), recovery.WithMaxAttempts(0), recovery.WithMaxEntries(-1))
	require.ErrorIs(t, err, recovery.ErrConfig)
	for _, text := range []string{
		"the Log is zero", "the Token is nil", "an option is nil", "WithTransport", "WithLogger", "WithObserver", "WithProgress", "WithEvents",
		"WithInterval", "WithTimeout", "WithMaxWait", "WithPace", "WithMaxAsks", "WithMaxAttempts", "WithMaxEntries",
	} {
		require.ErrorContains(t, err, text)
	}
}

// The token leaves only over https, and only to the named path.
func TestNew_RefusesOtherPlaces(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://github.example.com", "github.example.com", "", "https://", "https://user:pass@github.example.com", "https://x?y=1", "https://x#y", "ftp://x", "http://\x7f"} {
		_, err := recovery.New(repository, tokens, recovery.WithAPI(url))
		require.ErrorIs(t, err, recovery.ErrConfig, url)
		require.ErrorContains(t, err, "WithAPI")
		require.NotContains(t, err.Error(), "pass")
	}
	_, err := recovery.New(repository, tokens, recovery.WithAPI("http://127.0.0.1:1"), recovery.InsecureHTTP())
	require.NoError(t, err)
	for _, log := range []recovery.Log{
		recovery.GitHubRepository("..", "api", 7), recovery.GitHubRepository("acme", "a/b", 7), recovery.GitHubRepository("acme", "", 7),
		recovery.GitHubRepository("acme", "a?b", 7), recovery.GitHubOrganization("acme", 0), recovery.GitHubOrganization(".", 1),
		recovery.GitLabProject("acme/../x", 7), recovery.GitLabProject("/acme", 7), recovery.GitLabGroup("acme", -1), recovery.GitLabGroup("", 1),
	} {
		_, err := recovery.New(log, tokens)
		require.ErrorIs(t, err, recovery.ErrConfig, log)
		require.ErrorContains(t, err, "Git")
	}
}

func TestClient_NilAndZero(t *testing.T) {
	t.Parallel()
	for _, c := range []*recovery.Client{nil, {}} {
		_, err := c.Recover(t.Context())
		require.ErrorIs(t, err, recovery.ErrConfig)
		require.ErrorIs(t, c.Run(t.Context()), recovery.ErrConfig)
		require.Empty(t, c.Faults())
	}
}
