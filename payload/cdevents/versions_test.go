package cdevents_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/cdevents"
)

// The same run in each version of CDEvents.
const (
	run03 = `{"context":{"version":"0.3.0","id":"1","source":"/tekton","type":"dev.cdevents.pipelinerun.started.0.1.1",
"timestamp":"2026-03-12T14:25:02Z"},"subject":{"id":"run-1","type":"pipelineRun","content":{"pipelineName":"p","url":"https://ci.example/1"}}}`
	run04 = `{"context":{"version":"0.4.1","id":"1","source":"/tekton","type":"dev.cdevents.pipelinerun.started.0.2.0",
"timestamp":"2026-03-12T14:25:02Z","chainId":"run-1","links":[]},"subject":{"id":"r","type":"pipelineRun","content":{"pipelineName":"p","url":"https://ci.example/1"}}}`
	run05 = `{"context":{"specversion":"0.5.0","id":"1","source":"/tekton","type":"dev.cdevents.pipelinerun.started.0.3.0",
"timestamp":"2026-03-12T14:25:02Z","chainId":"run-1"},"subject":{"id":"r","content":{"pipelineName":"p","uri":"https://ci.example/1"}}}`
	run06 = `{"context":{"specversion":"0.6.0-draft","id":"1","source":"/tekton","type":"dev.cdevents.pipelinerun.started.0.3.1-draft",
"timestamp":"2026-03-12T14:25:02Z","chainId":"run-1"},"subject":{"id":"r","content":{"pipelineName":"p","uri":"https://ci.example/1"}}}`
)

func TestVersions(t *testing.T) {
	t.Parallel()
	base := payload.Deployment{CommitSHA: "abcdef1", Environment: "production"}
	for version, text := range map[string]string{"0.3": run03, "0.4": run04, "0.5": run05, "0.6": run06} {
		e, err := cdevents.Parse([]byte(text))
		require.NoError(t, err, version)
		d, err := e.Deployment(base)
		require.NoError(t, err, version)
		assert.Equal(t, "run-1", d.DeploymentID, version)
		assert.Equal(t, payload.StatusInProgress, d.Status)
		assert.Equal(t, "https://ci.example/1", d.PipelineURL, version)
		assert.Equal(t, text, d.RawPayload.JSON())
	}
}

func TestDecode_VersionRules(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, old, replacement, want string }{
		{run03, `"0.3.0"`, `"0.2.0"`, "context.version is not a supported version of CDEvents; use 0.3 to 0.6"},
		{run05, `"0.5.0"`, `"0.7.0"`, "context.specversion is not a supported version of CDEvents; use 0.3 to 0.6"},
		{run05, `"0.5.0"`, `"1.0.0"`, "context.specversion is not a supported version of CDEvents; use 0.3 to 0.6"},
		{run05, `"0.5.0","id"`, `"0.7.0","kind":{},"id"`, "context.specversion is not a supported version of CDEvents; use 0.3 to 0.6"},
		{run05, `"0.5.0"`, `"0.5.0-draft"`, "context.specversion is not a supported version of CDEvents; use 0.3 to 0.6"},
		{run05, `"specversion":"0.5.0",`, ``, "context.specversion is required"},
		{run05, `"id":"1"`, `"id":"1","version":"0.4.1"`, "context.version is not a member that CDEvents 0.5 has here"},
		{run05, `"id":"r"`, `"id":"r","type":"pipelineRun"`, "subject.type is not a member that CDEvents 0.5 has here"},
		{run04, `"version"`, `"specversion"`, "context.version is required; context.specversion is not a member that CDEvents 0.4 has here"},
		{run04, `"type":"pipelineRun",`, ``, "subject.type is required"},
		{run04, `"pipelineRun"`, `"taskRun"`, "subject.type must be pipelineRun, as the event's type says"},
		{run03, `"id":"1"`, `"id":"1","chainId":"c"`, "context.chainId is not a member that CDEvents 0.3 has here"},
		{run03, `"id":"1"`, `"id":"1","links":[]`, "context.links is not a member that CDEvents 0.3 has here"},
		{run03, `"id":"1"`, `"id":"1","more":1`, "context.more is not a member that CDEvents allow here"},
	} {
		require.Equal(t, 1, strings.Count(c.text, c.old), c.old)
		_, err := cdevents.Parse([]byte(strings.Replace(c.text, c.old, c.replacement, 1)))
		require.ErrorIs(t, err, payload.ErrInvalid, c.replacement)
		assert.EqualError(t, err, "Invalid payload: "+c.want)
	}
}

// The charset parameter of JSON does not matter.
func TestDecode_CharsetIsIgnored(t *testing.T) {
	t.Parallel()
	e, err := cdevents.FromDeployment(deployment(t, payload.StatusSuccess), options)
	require.NoError(t, err)
	for _, parameter := range []string{"; charset=utf8", ";charset=us-ascii", "; charset=iso-8859-1", " ; Charset=UTF-8"} {
		for _, message := range []func() (http.Header, []byte){e.Binary, e.Structured} {
			h, body := message()
			h.Set("Content-Type", h.Get("Content-Type")+parameter)
			_, err := cdevents.Decode(h, body)
			require.NoError(t, err, h)
		}
	}
}

func TestNewDecoder(t *testing.T) {
	t.Parallel()
	want := deployment(t, payload.StatusSuccess)
	e, err := cdevents.FromDeployment(want, options)
	require.NoError(t, err)
	_, binary := e.Binary()
	_, structured := e.Structured()
	decode := cdevents.NewDecoder(nil)
	for _, body := range [][]byte{binary, structured} {
		got, err := decode(t.Context(), body)
		require.NoError(t, err)
		assert.Equal(t, want, got)
	}
	_, err = decode(t.Context(), []byte(run04))
	require.ErrorIs(t, err, payload.ErrInvalid)
	require.ErrorContains(t, err, "commitSha is required")
	for _, body := range []string{"", "[]", `{"specversion":1}`, `{"specversion":"1.0"}`, `{"context":1}`} {
		_, err = decode(t.Context(), []byte(body))
		require.ErrorIs(t, err, payload.ErrInvalid, body)
	}

	asked, failure := 0, error(nil)
	decode = cdevents.NewDecoder(func(_ context.Context, e *cdevents.Event) (payload.Deployment, error) {
		asked++
		assert.Equal(t, "run-1", e.ChainID())
		return payload.Deployment{CommitSHA: "abcdef1", Environment: "production"}, failure
	})
	d, err := decode(t.Context(), []byte(run04))
	require.NoError(t, err)
	assert.Equal(t, "abcdef1", d.CommitSHA)
	_, err = decode(t.Context(), []byte(strings.Replace(run04, "pipelinerun.started", "pipelinerun.paused", 1)))
	require.ErrorIs(t, err, payload.ErrIgnored)
	assert.Equal(t, 1, asked, "an event that is ignored costs no lookup")

	failure = errors.New("the API is down")
	_, err = decode(t.Context(), []byte(run04))
	require.ErrorIs(t, err, failure)
	require.NotErrorIs(t, err, payload.ErrInvalid)
	_, failure = payload.DecodeDeployment([]byte(`{`))
	_, err = decode(t.Context(), []byte(run04))
	require.Error(t, err)
	require.NotErrorIs(t, err, payload.ErrInvalid, "an invalid document from the lookup is not the sender's")
}

// A link only informs people. An invalid link never makes the record invalid,
// and a credential in it is removed.
func TestLinks(t *testing.T) {
	t.Parallel()
	base := payload.Deployment{CommitSHA: "abcdef1", Environment: "production"}
	for link, want := range map[string]string{
		"https://me:s3cret@ci.example/1": "https://ci.example/1",
		"https://token@ci.example/1":     "https://ci.example/1",
		"urn:run:1":                      "",
		"/runs/1":                        "",
		"javascript:alert(1)":            "",
	} {
		for _, text := range []string{run03, run04, run05, run06} {
			e, err := cdevents.Parse([]byte(strings.Replace(text, "https://ci.example/1", link, 1)))
			require.NoError(t, err)
			d, err := e.Deployment(base)
			require.NoError(t, err, link)
			assert.Equal(t, want, d.PipelineURL)
			assert.Equal(t, want == "", len(d.Dropped) == 1, "what is dropped is named")
		}
	}
}

// A loss in one event is not reported for another event with the same base.
func TestLinks_BaseIsNotShared(t *testing.T) {
	t.Parallel()
	base := payload.Deployment{CommitSHA: "abcdef1", Environment: "production"}
	base.Dropped = append(make([]payload.Failure, 0, 4), payload.Failure{Path: "base", Message: "is long"})
	dropped := func(text string) []payload.Failure {
		e, err := cdevents.Parse([]byte(strings.Replace(text, "https://ci.example/1", "urn:run:1", 1)))
		require.NoError(t, err)
		d, err := e.Deployment(base)
		require.NoError(t, err)
		return d.Dropped
	}
	first, second := dropped(run04), dropped(run05)
	require.Len(t, first, 2)
	require.Len(t, second, 2)
	require.Equal(t, "subject.content.url", first[1].Path)
	require.Equal(t, "subject.content.uri", second[1].Path)
}
