package payload_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
)

func at(minute int) time.Time { return time.Date(2026, 3, 12, 14, minute, 0, 0, time.UTC) }

func metadata(t *testing.T, text string) payload.Metadata {
	t.Helper()
	m, err := payload.ParseMetadata([]byte(text))
	require.NoError(t, err)
	return m
}

// Every field that both documents have survives the conversion in both
// directions, for every status.
func TestConversionIsLossless(t *testing.T) {
	t.Parallel()
	for status, eventType := range map[payload.Status]payload.Type{
		payload.StatusPending: payload.DeployStarted, payload.StatusInProgress: payload.DeployStarted,
		payload.StatusSuccess: payload.DeployLive, payload.StatusFailure: payload.DeployFailed,
		payload.StatusCancelled: payload.DeployFailed, payload.StatusRolledBack: payload.DeployRolledBack,
	} {
		deployment := payload.Deployment{
			DeploymentID: "run-1", CommitSHA: "f4c8e2a", Environment: "production", Status: status, StartedAt: at(1),
			Service: "api", Branch: "main", TriggeredBy: "dana", Metadata: metadata(t, `{ "a":1.0 }`),
			PreviousCommitSHA: "00c0ffe", PipelineName: "Deploy", PipelineURL: "https://ci.example.com/1",
			OrganizationSlug: "acme", Version: "2.1.0",
		}
		require.NoError(t, deployment.RawPayload.Set("run", 1))
		require.NoError(t, deployment.Extra.Set("ticket", "OPS-7"))
		moment := at(1)
		if status.Terminal() {
			moment = at(5)
			deployment.CompletedAt = moment
		}
		event, err := deployment.Event(payload.Event{
			Error: "boom", PreviousVersion: "2.0.9", Commit: &payload.Commit{Message: "fix", SHA: "other"}, DeliveryID: "whk_1",
		})
		require.NoError(t, err, status)
		assert.Equal(t, &payload.Event{
			Type: eventType, Timestamp: moment, DeploymentID: "run-1", App: "api", Environment: "production", Status: status,
			Commit: &payload.Commit{SHA: "f4c8e2a", Branch: "main", Message: "fix"}, TriggeredBy: "dana",
			Metadata: deployment.Metadata, Error: "boom", PreviousVersion: "2.0.9", DeliveryID: "whk_1", Version: "2.1.0",
		}, event)
		got, ok := event.DeploymentStatus()
		assert.True(t, ok)
		assert.Equal(t, status, got)

		back, err := event.Deployment(payload.Deployment{
			StartedAt: at(1), PreviousCommitSHA: "00c0ffe", PipelineName: "Deploy", PipelineURL: "https://ci.example.com/1",
			OrganizationSlug: "acme", RawPayload: deployment.RawPayload, Extra: deployment.Extra,
		})
		require.NoError(t, err, status)
		assert.Equal(t, &deployment, back)
	}
}

func TestConversionNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	const toDeployment = "payload: converting the event to a deployment: set the fields that the event lacks in base: Invalid payload: "
	const toEvent = "payload: converting the deployment to an event: set the fields that the deployment lacks in base: Invalid payload: "
	live := payload.Event{
		Type: payload.DeployLive, Timestamp: at(5), DeploymentID: "run-1", App: "api", Environment: "production",
		Commit: &payload.Commit{SHA: "f4c8e2a"},
	}
	_, err := live.Deployment(payload.Deployment{})
	require.EqualError(t, err, toDeployment+"startedAt is required")
	require.ErrorIs(t, err, payload.ErrInvalid)

	build := payload.Event{
		Type: payload.BuildCompleted, Timestamp: at(3), DeploymentID: "run-1", Status: payload.StatusSuccess,
	}
	_, err = build.Deployment(payload.Deployment{StartedAt: at(1)})
	require.EqualError(t, err, toDeployment+"commitSha is required; environment is required")
	status, ok := build.DeploymentStatus()
	assert.True(t, ok)
	assert.Equal(t, payload.StatusInProgress, status, "the success of a build is not the success of the deployment")

	custom := live
	custom.Type = "platform.scaled"
	_, err = custom.Deployment(payload.Deployment{StartedAt: at(1)})
	require.EqualError(t, err, toDeployment+"status is required")
	custom.Status = payload.StatusSuccess
	deployment, err := custom.Deployment(payload.Deployment{StartedAt: at(1)})
	require.NoError(t, err)
	assert.Equal(t, at(5), deployment.CompletedAt)

	record := payload.Deployment{
		DeploymentID: "run-1", CommitSHA: "f4c8e2a", Environment: "production", StartedAt: at(1), CompletedAt: at(5),
		Service: "api",
	}
	for status, want := range map[payload.Status]string{
		payload.StatusFailure:    "error is required when event is deploy.failed",
		payload.StatusRolledBack: "previous_version is required when event is deploy.rolled_back",
		"":                       "event is required",
	} {
		record.Status = status
		_, err = record.Event(payload.Event{})
		require.EqualError(t, err, toEvent+want)
	}
	record.Status = payload.StatusCancelled
	event, err := record.Event(payload.Event{})
	require.NoError(t, err)
	assert.Equal(t, "deployment cancelled", event.Error)
	record.Service = ""
	_, err = record.Event(payload.Event{})
	require.EqualError(t, err, toEvent+"app is required when event is deploy.failed")
}

// Merging the events of one deployment gives its record.
func TestEventsBuildARecord(t *testing.T) {
	t.Parallel()
	record := &payload.Deployment{PipelineName: "Deploy"}
	for _, event := range []payload.Event{
		{
			Type: payload.DeployStarted, Timestamp: at(1), DeploymentID: "run-1", App: "api", Environment: "production",
			Commit: &payload.Commit{SHA: "f4c8e2a", Branch: "main"}, TriggeredBy: "git_push", Status: payload.StatusPending,
		},
		{Type: payload.BuildCompleted, Timestamp: at(2), DeploymentID: "run-1", Status: payload.StatusSuccess},
		{Type: payload.HealthCheckPassed, Timestamp: at(3), DeploymentID: "run-1"},
		{
			Type: payload.DeployFailed, Timestamp: at(4), DeploymentID: "run-1", App: "api", Error: "stopped by hand",
			Status: payload.StatusCancelled, Metadata: metadata(t, `{"by":"bob"}`),
		},
	} {
		require.NoError(t, event.Validate())
		status, ok := event.DeploymentStatus()
		require.True(t, ok)
		require.NotEqual(t, payload.Stale, record.Status.Transition(status))
		next, err := event.Deployment(*record)
		require.NoError(t, err)
		record = next
	}
	assert.Equal(t, &payload.Deployment{
		DeploymentID: "run-1", CommitSHA: "f4c8e2a", Environment: "production", Status: payload.StatusCancelled,
		StartedAt: at(1), CompletedAt: at(4), Service: "api", Branch: "main", TriggeredBy: "git_push", PipelineName: "Deploy",
		Metadata: metadata(t, `{"by":"bob"}`),
	}, record)
}

func TestConversionChangesNeitherSide(t *testing.T) {
	t.Parallel()
	base := payload.Event{Commit: &payload.Commit{Message: "fix"}}
	record := payload.Deployment{
		DeploymentID: "run-1", CommitSHA: "f4c8e2a", Environment: "e", Status: payload.StatusPending, StartedAt: at(1),
		Service: "api",
	}
	before := record
	event, err := record.Event(base)
	require.NoError(t, err)
	assert.Equal(t, &payload.Commit{Message: "fix"}, base.Commit)
	assert.Equal(t, before, record)
	assert.Equal(t, &payload.Commit{SHA: "f4c8e2a", Message: "fix"}, event.Commit)
}

// The commit of a record has up to 40 digits, and the commit of an event up to
// 64.
func TestConversionKeepsSHA256Commits(t *testing.T) {
	t.Parallel()
	long := payload.Event{
		Type: payload.DeployLive, Timestamp: at(5), DeploymentID: "run-1", App: "api", Environment: "production",
		Metadata: metadata(t, `{"a":1}`),
	}
	long.Commit = &payload.Commit{SHA: "f4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e2af4c8e2a0"}
	deployment, err := long.Deployment(payload.Deployment{StartedAt: at(1)})
	require.NoError(t, err)
	assert.Equal(t, long.Commit.SHA[:40], deployment.CommitSHA, "git resolves it")
	whole, _ := deployment.Metadata.Get("commit_sha256")
	assert.Equal(t, long.Commit.SHA, whole.String())
	back, err := deployment.Event(payload.Event{})
	require.NoError(t, err)
	assert.Equal(t, long.Commit.SHA, back.Commit.SHA, "and back without loss")
	assert.Equal(t, long.Metadata, back.Metadata)
}
