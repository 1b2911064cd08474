package azure_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/azure"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "azure-webhook-secret-1"

func decode(opts ...azure.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return azure.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "release_completed")
	inboundtest.Golden(t, decode(), "stage")
}

func TestEveryReleaseStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "release_completed.json")
	for status, want := range map[string]payload.Status{
		"undefined":          payload.StatusPending,
		"notDeployed":        payload.StatusPending,
		"notStarted":         payload.StatusPending,
		"queued":             payload.StatusPending,
		"scheduled":          payload.StatusPending,
		"inProgress":         payload.StatusInProgress,
		"succeeded":          payload.StatusSuccess,
		"partiallySucceeded": payload.StatusSuccess,
		"rejected":           payload.StatusFailure,
		"failed":             payload.StatusFailure,
		"canceled":           payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"status": "succeeded"`, `"status": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestEveryResult(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "stage.json")
	for status, want := range map[string]payload.Status{
		"succeeded":          payload.StatusSuccess,
		"partiallySucceeded": payload.StatusSuccess,
		"failed":             payload.StatusFailure,
		"rejected":           payload.StatusFailure,
		"canceled":           payload.StatusCancelled,
		"skipped":            payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"result": "succeeded"`, `"result": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestEveryState(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "stage.json")
	for status, want := range map[string]payload.Status{
		"waiting":    payload.StatusPending,
		"pending":    payload.StatusPending,
		"notStarted": payload.StatusPending,
		"running":    payload.StatusInProgress,
		"inProgress": payload.StatusInProgress,
		"canceling":  payload.StatusInProgress,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"state": "completed"`, `"state": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestPartialAndRejected(t *testing.T) {
	t.Parallel()
	for file, old := range map[string]string{"release_completed.json": `"status": "succeeded"`, "stage.json": `"result": "succeeded"`} {
		event := inboundtest.Read(t, file)
		name := old[:len(old)-len(`"succeeded"`)]
		partial := inboundtest.Replace(t, event, old, name+`"partiallySucceeded"`)
		d, err := decode()(partial)
		require.NoError(t, err)
		assert.Equal(t, payload.StatusSuccess, d.Status)
		assert.Equal(t, "true", inboundtest.Meta(d, "partial"))
		d, err = decode(azure.WithPartialFailure())(partial)
		require.NoError(t, err)
		assert.Equal(t, payload.StatusFailure, d.Status)
		assert.Equal(t, "true", inboundtest.Meta(d, "partial"))
		d, err = decode()(inboundtest.Replace(t, event, old, name+`"rejected"`))
		require.NoError(t, err)
		assert.NotEmpty(t, inboundtest.Meta(d, "reason"))
	}
}

func TestRuns(t *testing.T) {
	t.Parallel()
	run := inboundtest.Read(t, "run.json")
	inboundtest.Ignored(t, decode(), run, "WithRuns")
	d, err := decode(azure.WithRuns("production"))(run)
	require.NoError(t, err)
	assert.Equal(t, payload.StatusFailure, d.Status)
	assert.Equal(t, "production", d.Environment)
	assert.Equal(t, "2727", d.DeploymentID)
	assert.Equal(t, "2025-07-02 09:20:00 +0000 UTC", d.CompletedAt.String())
}

// The documented sample has neither resource.deployment nor deploySteps.
func TestDocumentedSample(t *testing.T) {
	t.Parallel()
	event := inboundtest.Replace(t, inboundtest.Read(t, "release_completed.json"), `"deployment": {`, `"was": {`)
	inboundtest.Invalid(t, decode(), event, "commitSha is required, and the event has none; "+
		"set the service hook to send all resource details, or look up the commit in WithComplete")
	d, err := decode(azure.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA = "a84d88e"
		return nil
	}))(event)
	require.NoError(t, err)
	assert.Equal(t, "12-5", d.DeploymentID)
	assert.Equal(t, "Chuck Reinhart", d.TriggeredBy)
	assert.Equal(t, "2025-07-02 09:15:43.2 +0000 UTC", d.CompletedAt.String(), "that of the event")
	assert.Equal(t, "2025-07-02 09:14:30.52 +0000 UTC", d.StartedAt.String(), "that of the first step")
}

// A started event has the release next to the environment, and a completed one
// has it within the deployment. Both describe the same deployment.
func TestStartedAndCompletedHaveOneID(t *testing.T) {
	t.Parallel()
	completed := string(inboundtest.Read(t, "release_completed.json"))
	started := strings.NewReplacer(
		"ms.vss-release.deployment-completed-event", "ms.vss-release.deployment-started-event",
		`"status": "succeeded"`, `"status": "inProgress"`,
		`"deployment": {
      "id": 71,
      "attempt": 1,`, `"id": 12, "attemptId": 1, "stageName": "production", "was": {`,
	).Replace(completed)
	release := started[strings.Index(started, `"release": {
        "id": 12,
        "artifacts"`):]
	release = release[:strings.Index(release, "\n      }\n")+8]
	started = strings.Replace(started, `"was": {`, release+`, "was": {`, 1)
	want, err := decode()([]byte(completed))
	require.NoError(t, err)
	d, err := decode()([]byte(started))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusInProgress, d.Status)
	assert.Equal(t, want.DeploymentID, d.DeploymentID)
	assert.Equal(t, want.CommitSHA, d.CommitSHA)
	assert.Equal(t, want.Branch, d.Branch)

	for _, event := range []string{
		strings.Replace(completed, `"id": 71,
      "attempt": 1,`, `"id": 72, "attempt": 2,`, 1),
		strings.Replace(started, `"attemptId": 1,`, `"attemptId": 2,`, 1),
	} {
		d, err = decode()([]byte(event))
		require.NoError(t, err)
		assert.NotEqual(t, want.DeploymentID, d.DeploymentID, "a second attempt is another deployment")
		assert.Equal(t, "12-5-2", d.DeploymentID)
	}
	without := strings.Replace(started, release+", ", "", 1)
	inboundtest.Invalid(t, decode(), []byte(without), "commitSha is required, and the event has none; "+
		"set the service hook to send all resource details, or look up the commit in WithComplete")
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "release_completed.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"status": "succeeded"`, `"status": "odd"`, `resource.environment.status must be one of: canceled, failed, inProgress, notDeployed, notStarted, partiallySucceeded, queued, rejected, scheduled, succeeded, undefined`},
		{`"name": "production",`, ``, `resource.environment.name is required`},
		{`"artifacts": [`, `"artifacts": 1, "was": [`, `resource.deployment.release.artifacts must be an array`},
		{`"sourceVersion": {"id": "3f786850e387550fdab836ed7e6dc881de23001b"`, `"sourceVersion": {"id": "C42"`, `resource.deployment.release.artifacts[1].definitionReference.sourceVersion.id must be a valid hex string (5-40 characters)`},
		{`"completedOn": "2025-07-02T09:15:42.11Z"`, `"completedOn": 1`, `resource.deployment.completedOn must be a string`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "approval.json"), `azure: not a deployment event: eventType is "ms.vss-release.deployment-approval-pending-event"`)
	for body, want := range map[string]string{
		`{}`: `""`,
		`{"eventType":"ms.vss-release.deployment-approval-completed-event"}`: `vss-release.deployment-approval-completed-event`,
		`{"eventType":"ms.vss-release.release-created-event"}`:               `vss-release.release-created-event`,
		`{"eventType":"ms.vss-release.release-abandoned-event"}`:             `vss-release.release-abandoned-event`,
		`{"eventType":"ms.vss-pipelines.job-state-changed-event"}`:           `vss-pipelines.job-state-changed-event`,
		`{"eventType":"ms.vss-pipelinechecks-events.approval-pending"}`:      `vss-pipelinechecks-events.approval-pending`,
		`{"eventType":"ms.vss-pipelinechecks-events.approval-completed"}`:    `vss-pipelinechecks-events.approval-completed`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func credential(text string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(text))
}

func sign(h http.Header, _ []byte) { h.Set("Authorization", credential("azure-devops:"+secretText)) }

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "release_completed.json")
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := azure.NewVerifier("azure-devops", secret)
	require.NoError(t, err)
	decoder, err := azure.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    verifier,
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "stage.json"),
		Ignored:     inboundtest.Read(t, "approval.json"),
		Invalid:     inboundtest.Replace(t, event, `"name": "production",`, ``),
		InvalidText: "resource.environment.name is required",
		Forge: func(h http.Header, _ []byte) {
			h.Set("Authorization", credential("azure-devops:"+secretText+"x"))
		},
		Unauthorized: `{"error":"Invalid or missing API key"}`,
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := azure.NewVerifier("azure-devops", signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = azure.NewDecoder(nil)
	require.ErrorIs(t, err, azure.ErrConfig)
	_, err = azure.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, azure.ErrConfig)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 5) }
