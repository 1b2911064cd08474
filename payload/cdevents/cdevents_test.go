package cdevents_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

func TestDeploymentStatuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		status              payload.Status
		previous, kind, has string
	}{
		{payload.StatusPending, "", "pipelinerun.queued", `"content":{"pipelineName":"deploy","uri":"https://ci.example/runs/42"}`},
		{payload.StatusInProgress, "", "pipelinerun.started", `"content":{"pipelineName":"deploy","uri":"https://ci.example/runs/42"}`},
		{payload.StatusSuccess, "", "service.deployed", `"content":{"environment":{"id":"production"},"artifactId":"pkg:generic/shop@` + commit + `"}`},
		{payload.StatusSuccess, previous, "service.upgraded", `"artifactId":"pkg:generic/shop@` + commit + `"`},
		{payload.StatusFailure, "", "pipelinerun.finished", `"outcome":"failure","errors":"out of memory"`},
		{payload.StatusCancelled, previous, "pipelinerun.finished", `"outcome":"cancel"`},
		{payload.StatusRolledBack, previous, "service.rolledback", `"artifactId":"pkg:generic/shop@` + previous + `"`},
	} {
		t.Run(string(test.status)+"/"+test.kind, func(t *testing.T) {
			t.Parallel()
			d := deployment(t, test.status)
			d.PreviousCommitSHA = test.previous
			o := options
			if test.status == payload.StatusFailure {
				o.Error = "out of memory"
			}
			e, err := cdevents.FromDeployment(d, o)
			require.NoError(t, err)
			assert.Equal(t, "dev.cdevents."+test.kind+".0.3.0", e.Type())
			assert.Equal(t, "run-42", e.ChainID())
			subject := "run-42"
			if strings.HasPrefix(test.kind, "service.") {
				subject = "shop"
			}
			assert.Equal(t, subject, e.Subject())
			at := started
			if test.status.Terminal() {
				at = completed
			}
			assert.Equal(t, at, e.Time())
			assert.Contains(t, string(e.JSON()), test.has)
			requireGolden(t, "deployment-"+string(test.status)+"-"+test.kind, e.JSON())
			requireDeployment(t, d, e)
		})
	}
}

// requireDeployment sends the event in both modes and requires that the
// receiver gets the same record.
func requireDeployment(t *testing.T, want *payload.Deployment, e *cdevents.Event) {
	t.Helper()
	for _, again := range transmit(t, e) {
		got, err := again.Deployment(payload.Deployment{Service: "unused", Branch: "unused"})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func requireEvent(t *testing.T, want *payload.Event, e *cdevents.Event) {
	t.Helper()
	for _, again := range transmit(t, e) {
		got, err := again.Event(payload.Event{App: "unused", URL: "https://unused.example"})
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func transmit(t *testing.T, e *cdevents.Event) []*cdevents.Event {
	t.Helper()
	h, body := e.Binary()
	require.Equal(t, string(e.JSON()), string(body))
	binary, err := cdevents.Decode(h, body)
	require.NoError(t, err)
	require.Equal(t, e, binary)
	h, body = e.Structured()
	structured, err := cdevents.Decode(h, body)
	require.NoError(t, err)
	require.Equal(t, e, structured)
	return []*cdevents.Event{binary, structured}
}

func TestEventTypes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		kind   payload.Type
		status payload.Status
		want   string
		has    string
	}{
		{payload.DeployStarted, "", "taskrun.started.0.3.0", `"taskName":"deploy","pipelineRun":{"id":"run-42"}`},
		{payload.DeployStarted, payload.StatusPending, "pipelinerun.queued.0.3.0", `"content":{}`},
		{payload.BuildCompleted, payload.StatusSuccess, "build.finished.0.3.0", `"artifactId":"pkg:generic/shop@` + commit + `"`},
		{payload.HealthCheckPassed, "", "testsuiterun.finished.0.3.0", `"environment":{"id":"production"},"outcome":"success"`},
		{payload.DeployLive, "", "service.deployed.0.3.0", `"artifactId":"pkg:generic/shop@` + commit + `"`},
		{payload.DeployFailed, "", "pipelinerun.finished.0.3.0", `"outcome":"failure","errors":"health check timed out"`},
		{payload.DeployFailed, payload.StatusCancelled, "pipelinerun.finished.0.3.0", `"outcome":"cancel","errors":"health check timed out"`},
		{payload.DeployRolledBack, "", "service.rolledback.0.3.0", `"artifactId":"pkg:generic/shop@2.0.0-hotfix%2B1"`},
		{"cache_2.warm.up", "", "x.deployhook-cachewarm.up.0.1.0", `"content":{}`},
		{"1.2", "", "x.deployhook-event.reported.0.1.0", `"content":{}`},
		{"deploy.approved", "custom", "x.deployhook-deploy.approved.0.1.0", `"content":{}`},
	} {
		t.Run(string(test.kind)+string(test.status), func(t *testing.T) {
			t.Parallel()
			event := step(t, test.kind)
			event.Status = test.status
			e, err := cdevents.FromEvent(event, cdevents.Options{Source: "/ci"})
			require.NoError(t, err)
			dot := "."
			if test.want[0] == 'x' {
				dot = ""
			}
			assert.Equal(t, "dev.cdevents"+dot+test.want, e.Type())
			assert.Equal(t, "whk_1", e.ID())
			assert.Contains(t, string(e.JSON()), test.has)
			requireGolden(t, "event-"+string(test.kind+"-"+payload.Type(test.status)), e.JSON())
			requireEvent(t, event, e)
		})
	}
}

func TestStartedWithPipeline(t *testing.T) {
	t.Parallel()
	o := options
	o.PipelineName, o.PipelineURL = "Deploy", "https://ci.example/läufe/1 2"
	event := step(t, payload.DeployStarted)
	e, err := cdevents.FromEvent(event, o)
	require.NoError(t, err)
	assert.Contains(t, string(e.JSON()), `"uri":"https://ci.example/l%C3%A4ufe/1%202"`)
	assert.Equal(t, "dev.cdevents.pipelinerun.started.0.3.0", e.Type())
	requireEvent(t, event, e)

	d := deployment(t, payload.StatusInProgress)
	d.PipelineURL = ""
	e, err = cdevents.FromDeployment(d, options)
	require.NoError(t, err)
	assert.Equal(t, "dev.cdevents.taskrun.started.0.3.0", e.Type())
	requireDeployment(t, d, e)
}

func TestMissingIsNamed(t *testing.T) {
	t.Parallel()
	named := func(t *testing.T, err error, want ...string) {
		t.Helper()
		var validation *payload.ValidationError
		require.ErrorAs(t, err, &validation)
		require.ErrorIs(t, err, payload.ErrInvalid)
		var got []string
		for _, failure := range validation.Failures {
			got = append(got, failure.Path)
		}
		assert.Equal(t, want, got)
	}
	d := deployment(t, payload.StatusSuccess)
	d.Service = ""
	_, err := cdevents.FromDeployment(d, options)
	named(t, err, "service")

	d = deployment(t, payload.StatusRolledBack)
	d.PreviousCommitSHA = ""
	_, err = cdevents.FromDeployment(d, options)
	named(t, err, "previousCommitSha")
	o := options
	o.ArtifactID = "pkg:oci/shop@sha256%3A00"
	e, err := cdevents.FromDeployment(d, o)
	require.NoError(t, err)
	assert.Contains(t, string(e.JSON()), `"artifactId":"pkg:oci/shop@sha256%3A00"`)
	requireDeployment(t, d, e)

	event := step(t, payload.HealthCheckPassed)
	event.Environment = ""
	_, err = cdevents.FromEvent(event, options)
	named(t, err, "environment")
	event = step(t, payload.DeployLive)
	event.Commit = nil
	e, err = cdevents.FromEvent(event, options)
	require.NoError(t, err)
	assert.Contains(t, string(e.JSON()), `"pkg:generic/shop@2.1.0"`)
	event.Version = ""
	_, err = cdevents.FromEvent(event, options)
	named(t, err, "commit.sha")

	event = step(t, payload.DeployLive)
	event.App = "sh\nop"
	_, err = cdevents.FromEvent(event, options)
	named(t, err, "app")

	event = step(t, payload.BuildCompleted)
	event.DeploymentID = "run\u0085"
	_, err = cdevents.FromEvent(event, options)
	named(t, err, "deployment_id")
	d = deployment(t, payload.StatusPending)
	d.DeploymentID = "run\ufffe"
	_, err = cdevents.FromDeployment(d, options)
	named(t, err, "deploymentId")

	_, err = cdevents.FromDeployment(deployment(t, payload.StatusSuccess), cdevents.Options{})
	named(t, err, "Source")
	for _, bad := range []string{"a b", "ü", "%zz", "https://[::1", "\n", `"`} {
		_, err = cdevents.FromDeployment(deployment(t, payload.StatusSuccess), cdevents.Options{Source: bad})
		named(t, err, "Source")
	}
	_, err = cdevents.FromDeployment(deployment(t, payload.StatusSuccess), cdevents.Options{
		Source: "/", ID: "\x00", ArtifactID: "shop", PipelineURL: "https://[",
	})
	named(t, err, "ID", "ArtifactID", "PipelineURL")
	_, err = cdevents.FromDeployment(&payload.Deployment{}, options)
	require.ErrorIs(t, err, payload.ErrInvalid)
	_, err = cdevents.FromDeployment(nil, options)
	require.Error(t, err)
	_, err = cdevents.FromEvent(nil, options)
	require.Error(t, err)
}

func TestRandomID(t *testing.T) {
	t.Parallel()
	d := deployment(t, payload.StatusSuccess)
	one, err := cdevents.FromDeployment(d, cdevents.Options{Source: "/"})
	require.NoError(t, err)
	two, err := cdevents.FromDeployment(d, cdevents.Options{Source: "/"})
	require.NoError(t, err)
	assert.NotEqual(t, one.ID(), two.ID())
}

func TestAcrossDocuments(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	event, err := e.Event(payload.Event{Version: "9"})
	require.NoError(t, err)
	assert.Equal(t, payload.DeployLive, event.Type)
	assert.Equal(t, "9", event.Version)

	e, err = cdevents.FromEvent(step(t, payload.DeployLive), options)
	require.NoError(t, err)
	_, err = e.Deployment(payload.Deployment{})
	require.ErrorContains(t, err, "startedAt is required")
	d, err := e.Deployment(payload.Deployment{StartedAt: started})
	require.NoError(t, err)
	assert.Equal(t, payload.StatusSuccess, d.Status)
}

// An event that contradicts its customData is refused.
func TestCustomDataContradicts(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusFailure), options)
	require.NoError(t, err)
	for _, edit := range [][2]string{
		{"dev.cdevents.pipelinerun.finished", "dev.cdevents.taskrun.finished"},
		{`"chainId":"run-42"`, `"chainId":"run-43"`},
		{`"subject":{"id":"run-42"`, `"subject":{"id":"run-43"`},
		{`"timestamp":"2026-03-12T14:25:02.5Z"`, `"timestamp":"2026-03-12T14:25:03.5Z"`},
		{`"outcome":"failure"`, `"outcome":"success"`},
		{`"status":"failure"`, `"status":"cancelled"`},
	} {
		text := string(e.JSON())
		require.Equal(t, 1, strings.Count(text, edit[0]), edit[0])
		changed, err := cdevents.Parse([]byte(strings.Replace(text, edit[0], edit[1], 1)))
		require.NoError(t, err)
		_, err = changed.Deployment(payload.Deployment{})
		require.ErrorIs(t, err, cdevents.ErrMismatch, edit[1])
		require.ErrorIs(t, err, payload.ErrInvalid)
	}
	text := strings.Replace(string(e.JSON()), `"commitSha":"a1b2`, `"commitSha":"zzzz`, 1)
	changed, err := cdevents.Parse([]byte(text))
	require.NoError(t, err)
	_, err = changed.Event(payload.Event{})
	require.ErrorContains(t, err, "customData.deployhookDeployment.commitSha must be a valid hex string")
	text = strings.Replace(string(e.JSON()), `"customData":{`, `"customData":{"deployhookEvent":{},`, 1)
	changed, err = cdevents.Parse([]byte(text))
	require.NoError(t, err)
	_, err = changed.Event(payload.Event{})
	require.ErrorContains(t, err, "only one of")
}
