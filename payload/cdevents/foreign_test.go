package cdevents_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// foreign returns an event as another producer writes it.
func foreign(t testing.TB, kind, subject, content string) *cdevents.Event {
	t.Helper()
	e, err := cdevents.Parse(fmt.Appendf(nil, `{"context":{"specversion":"0.5.1","id":"1","source":"/tekton","type":"dev.%s",
		"timestamp":"2026-03-12T14:25:02.5Z","chainId":"chain-1"},"subject":{"id":%q,"source":"/x","content":%s},
		"customData":{"theirs":1.0}}`, kind, subject, content))
	require.NoError(t, err)
	return e
}

func TestForeign(t *testing.T) {
	t.Parallel()
	base := payload.Deployment{CommitSHA: "abcdef1", Environment: "staging", StartedAt: started, Service: "base", PreviousCommitSHA: "base"}
	baseEvent := payload.Event{App: "base", Error: "base", PreviousVersion: "base"}
	service := func(artifact string) string {
		return `{"environment":{"id":"production","source":"/e"},"artifactId":"` + artifact + `"}`
	}
	for _, test := range []struct {
		kind, content string
		status        payload.Status
		event         payload.Type
		commit        string
	}{
		{"service.deployed.0.3.0", service("pkg:generic/shop@" + commit), payload.StatusSuccess, payload.DeployLive, commit},
		{"service.deployed.0.2.0", service("pkg:github/acme/shop@ABCDEF0"), payload.StatusSuccess, payload.DeployLive, "ABCDEF0"},
		{"service.upgraded.0.3.0", service("pkg:oci/shop@sha256%3A00"), payload.StatusSuccess, payload.DeployLive, "abcdef1"},
		{"service.upgraded.0.3.0", service("pkg:generic/shop@20260312"), payload.StatusSuccess, payload.DeployLive, "abcdef1"},
		{"service.upgraded.0.3.0", service("pkg:npm/%40acme/shop@abcdef09"), payload.StatusSuccess, payload.DeployLive, "abcdef1"},
		{"service.rolledback.0.3.0", service("pkg:generic/shop@" + previous), payload.StatusRolledBack, payload.DeployRolledBack, "abcdef1"},
		{"pipelinerun.queued.0.3.0", `{}`, payload.StatusPending, payload.DeployStarted, "abcdef1"},
		{"pipelinerun.started.0.3.0", `{"pipelineName":"p","uri":"https://ci/1"}`, payload.StatusInProgress, payload.DeployStarted, "abcdef1"},
		{"pipelinerun.finished.0.3.0", `{"outcome":"failure","errors":"boom"}`, payload.StatusFailure, payload.DeployFailed, "abcdef1"},
		{"pipelinerun.finished.0.3.0", `{"outcome":"error"}`, payload.StatusFailure, payload.DeployFailed, "abcdef1"},
		{"pipelinerun.finished.0.3.0", `{"outcome":"cancel"}`, payload.StatusCancelled, payload.DeployFailed, "abcdef1"},
		{"taskrun.started.0.3.0", `{"taskName":"deploy"}`, payload.StatusInProgress, payload.DeployStarted, "abcdef1"},
		{"taskrun.finished.0.3.0", `{"taskName":"deploy","outcome":"failure","more":1}`, payload.StatusFailure, payload.DeployFailed, "abcdef1"},
	} {
		e := foreign(t, "cdevents."+test.kind, "shop", test.content)
		d, err := e.Deployment(base)
		require.NoError(t, err, test.kind)
		assert.Equal(t, test.status, d.Status)
		assert.Equal(t, "chain-1", d.DeploymentID)
		assert.Equal(t, test.commit, d.CommitSHA, test.content)
		assert.JSONEq(t, string(e.JSON()), d.RawPayload.JSON())
		note, _ := d.Metadata.Get("cdeventsType")
		assert.Equal(t, e.Type(), note.String())
		event, err := e.Event(baseEvent)
		require.NoError(t, err, test.kind)
		assert.Equal(t, test.event, event.Type)
		assert.Equal(t, e.Time(), event.Timestamp)
		if test.event == payload.DeployRolledBack {
			assert.Equal(t, previous, event.PreviousVersion)
			assert.Equal(t, previous, d.PreviousCommitSHA)
		}
		if test.kind == "pipelinerun.started.0.3.0" {
			assert.Equal(t, "https://ci/1", d.PipelineURL)
			assert.Equal(t, "p", d.PipelineName)
			assert.Equal(t, e.Time(), d.StartedAt)
		}
	}
	assert.True(t, base.Metadata.IsZero())
}

func TestForeignMissing(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ kind, content, want string }{
		{"service.deployed.0.3.0", `{"environment":{"id":"e"},"artifactId":"pkg:oci/a@v1"}`, "commitSha is required"},
		{"service.deployed.0.3.0", `{"environment":{"id":"e"},"artifactId":"pkg:generic/a@abcdef1"}`, "startedAt is required"},
		{"service.deployed.0.3.0", `{"environment":{"id":"e"}}`, "subject.content.artifactId is required"},
		{"service.deployed.0.3.0", `{"environment":{"id":"e"},"artifactId":"shop"}`, "subject.content.artifactId must be a package URL"},
		{"service.deployed.0.3.0", `{"artifactId":"pkg:generic/a@abcdef1"}`, "subject.content.environment.id is required"},
		{"service.deployed.0.3.0", `{"environment":"e"}`, "subject.content.environment must be an object"},
		{"service.deployed.0.3.0", `{"environment":{"id":1}}`, "subject.content.environment.id must be a string"},
		{"pipelinerun.queued.0.3.0", `{}`, "commitSha is required"},
		{"pipelinerun.queued.0.3.0", `{}`, "environment is required"},
		{"pipelinerun.finished.0.3.0", `{}`, "subject.content.outcome is required"},
		{"pipelinerun.finished.0.3.0", `{"outcome":null}`, "subject.content.outcome must be a string"},
	} {
		_, err := foreign(t, "cdevents."+test.kind, "shop", test.content).Deployment(payload.Deployment{})
		require.ErrorIs(t, err, payload.ErrInvalid, test.content)
		assert.ErrorContains(t, err, test.want)
	}
	_, err := foreign(t, "cdevents.pipelinerun.finished.0.3.0", "1", `{"outcome":"failure"}`).Event(payload.Event{})
	require.ErrorContains(t, err, "app is required")
	require.ErrorContains(t, err, "error is required")
}

func TestForeignIgnored(t *testing.T) {
	t.Parallel()
	for _, test := range [][2]string{
		{"cdevents.service.removed.0.3.0", `{}`},
		{"cdevents.service.published.0.3.0", `{}`},
		{"cdevents.environment.created.0.3.0", `{}`},
		{"cdevents.environment.modified.0.3.0", `{"environment":"of another kind"}`},
		{"cdevents.environment.deleted.0.3.0", `{}`},
		{"cdevents.build.finished.0.3.0", `{}`},
		{"cdevents.testsuiterun.finished.0.3.0", `{"outcome":"success"}`},
		{"cdevents.incident.detected.0.3.0", `{}`},
		{"cdevents.pipelinerun.finished.0.3.0", `{"outcome":"success"}`},
		{"cdevents.taskrun.finished.0.3.0", `{"taskName":"deploy","outcome":"success"}`},
		{"cdevents.taskrun.finished.0.3.0", `{"taskName":"deploy","outcome":"meh"}`},
		{"cdevents.taskrun.finished.0.3.0", `{"taskName":"lint","outcome":"failure"}`},
		{"cdevents.taskrun.started.0.3.0", `{}`},
		{"cdevents.service.deployed.1.0.0", `{}`},
		{"cdeventsx.tool-thing.done.0.1.0", `{}`},
	} {
		e := foreign(t, test[0], "shop", test[1])
		_, err := e.Deployment(payload.Deployment{})
		require.ErrorIs(t, err, payload.ErrIgnored, test)
		require.NotErrorIs(t, err, payload.ErrInvalid)
		var ignored *cdevents.IgnoredError
		require.ErrorAs(t, err, &ignored)
		assert.NotEmpty(t, ignored.Reason)
		assert.Equal(t, e.Type(), ignored.Type)
		assert.Equal(t, "cdevents: event ignored: "+e.Type()+": "+ignored.Reason, err.Error())
		assert.Equal(t, e.Type()+" /tekton 1", e.String())
		_, err = e.Event(payload.Event{})
		require.ErrorIs(t, err, payload.ErrIgnored, test)
	}
}
