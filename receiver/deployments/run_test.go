package deployments_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/receiver/deployments"
)

func TestRun_Binary(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 15, 10, 30, 0, 123456000, time.UTC)
	full := deployments.Run{
		DeploymentID: "run-1", Scope: deployments.Scope{Service: "api", Environment: "production"}, Commit: "c0ffee1",
		RepositoryURL: "https://git.example/acme/api", Branch: "main", Version: "2.1.0", ArtifactDigest: "sha256:c0ffee",
		RollbackOf: "run-0", IncidentURL: "https://acme.example/7", Status: payload.StatusRolledBack,
		StartedAt: time.Unix(0, 0).UTC(), LiveAt: at, RolledBackAt: at.Add(time.Hour), EndedAt: at.Add(time.Hour),
		Commits: []deployments.RepositoryCommit{{RepositoryURL: "https://git.example/acme/web", Commit: "c0ffee2"}},
	}
	for _, run := range []deployments.Run{full, {}, {DeploymentID: "x", StartedAt: at}} {
		text, err := run.MarshalBinary()
		require.NoError(t, err)
		var again deployments.Run
		require.NoError(t, again.UnmarshalBinary(text))
		require.Equal(t, run, again)
		for cut := range text {
			require.Error(t, again.UnmarshalBinary(text[:cut]), "cut at %d", cut)
		}
		require.Error(t, again.UnmarshalBinary(append(text, 0)))
		text[0]++
		require.Error(t, again.UnmarshalBinary(text), "another version")
	}
}
