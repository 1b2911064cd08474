package cdevents_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// update rewrites the golden files, as in go test ./payload/cdevents -update.
// Read the difference before committing it.
var update = flag.Bool("update", false, "write the golden files")

func TestMain(m *testing.M) { leaktest.Main(m) }

// requireGolden compares with a golden file, or writes it under -update.
func requireGolden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name+".json")
	if *update {
		require.NoError(t, os.WriteFile(file, append(got, '\n'), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, strings.TrimSuffix(string(want), "\n"), string(got))
}

const (
	commit   = "a1b2c3d4e5f60718293a4b5c6d7e8f9012345678"
	previous = "00ff00ff00ff00ff00ff00ff00ff00ff00ff00ff"
)

var (
	started   = time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
	completed = time.Date(2026, 3, 12, 14, 25, 2, 500_000_000, time.UTC)
	options   = cdevents.Options{Source: "https://ci.example/acme/shop", ID: "evt-1"}
)

// deployment returns a record with this status and everything that its CDEvent
// requires.
func deployment(t testing.TB, status payload.Status) *payload.Deployment {
	t.Helper()
	d := &payload.Deployment{
		DeploymentID: "run-42", CommitSHA: commit, Environment: "production", Status: status, StartedAt: started,
		Service: "shop", Branch: "main", TriggeredBy: "ada@example.com", PipelineName: "deploy",
		PipelineURL: "https://ci.example/runs/42",
	}
	if status.Terminal() {
		d.CompletedAt = completed
	}
	if status == payload.StatusRolledBack {
		d.PreviousCommitSHA = previous
	}
	require.NoError(t, d.Metadata.UnmarshalJSON([]byte(`{"big": 9007199254740993,"e":1e2, "f":1.0,"s":"<&>\u00e9"}`)))
	require.NoError(t, d.RawPayload.UnmarshalJSON([]byte(`{ "n" : 1.0, "deep":[ {"a":null} ] }`)))
	require.NoError(t, d.Extra.UnmarshalJSON([]byte(`{"x-extra":[1,  2]}`)))
	return d
}

// step returns an event of this type with everything that its CDEvent requires.
func step(t testing.TB, kind payload.Type) *payload.Event {
	t.Helper()
	e := &payload.Event{
		Type: kind, Timestamp: completed, DeliveryID: "whk_1", DeploymentID: "run-42", App: "shop",
		Environment: "production", Commit: &payload.Commit{SHA: commit, Message: "Fix é"}, Version: "2.1.0",
	}
	switch kind {
	case payload.DeployFailed:
		e.Error = "health check timed out"
	case payload.DeployRolledBack:
		e.PreviousVersion = "2.0.0"
		e.Rollback = &payload.Rollback{RestoredVersion: "2.0.0-hotfix+1", Automatic: new(true)}
	}
	require.NoError(t, e.Metadata.UnmarshalJSON([]byte(`{"n":1.0,  "m":9007199254740993}`)))
	require.NoError(t, e.Extra.UnmarshalJSON([]byte(`{"region":["eu <1>",  1]}`)))
	return e
}
