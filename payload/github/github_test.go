package github_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/github"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "It's a Secret to Everybody"

func decode(opts ...github.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return github.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "deployment_status")
	inboundtest.Golden(t, decode(), "deployment")
}

func TestEveryState(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	for state, want := range map[string]payload.Status{
		"waiting":     payload.StatusPending,
		"queued":      payload.StatusPending,
		"pending":     payload.StatusPending,
		"in_progress": payload.StatusInProgress,
		"success":     payload.StatusSuccess,
		"failure":     payload.StatusFailure,
		"error":       payload.StatusFailure,
	} {
		body := inboundtest.Replace(t, event, `"state": "success"`, `"state": "`+state+`"`)
		d, err := decode()(body)
		require.NoError(t, err, state)
		assert.Equal(t, want, d.Status, state)
		assert.Equal(t, state, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), "%s: only an ended deployment has completedAt", state)

		d, err = decode(github.WithPendingInProgress())(body)
		require.NoError(t, err)
		if state == "pending" {
			want = payload.StatusInProgress
		}
		assert.Equal(t, want, d.Status, "%s with WithPendingInProgress", state)
	}
}

func TestCancelledRun(t *testing.T) {
	t.Parallel()
	event := string(inboundtest.Read(t, "deployment_status.json"))
	cancelled := strings.Replace(event, `"conclusion": null`, `"conclusion": "cancelled"`, 1)
	for state, want := range map[string]payload.Status{
		"failure": payload.StatusCancelled,
		"error":   payload.StatusCancelled,
		"success": payload.StatusSuccess,
		"pending": payload.StatusPending,
	} {
		d, err := decode()(inboundtest.Replace(t, []byte(cancelled), `"state": "success"`, `"state": "`+state+`"`))
		require.NoError(t, err)
		assert.Equal(t, want, d.Status, state)
	}
}

func TestRollbacks(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	for name, body := range map[string][]byte{
		"task":    inboundtest.Replace(t, event, `"task": "deploy"`, `"task": "app:Rollback"`),
		"payload": inboundtest.Replace(t, event, `"payload": {}`, `"payload": {"rollback": true}`),
	} {
		d, err := decode()(body)
		require.NoError(t, err)
		assert.Equal(t, payload.StatusSuccess, d.Status, "%s: the heuristic is off by default", name)
		d, err = decode(github.WithRollbacks())(body)
		require.NoError(t, err)
		assert.Equal(t, payload.StatusRolledBack, d.Status, name)
		assert.Equal(t, "true", inboundtest.Meta(d, "rollback"))
		assert.False(t, d.CompletedAt.IsZero())
		d, err = decode(github.WithRollbacks())(inboundtest.Replace(t, body, `"state": "success"`, `"state": "failure"`))
		require.NoError(t, err)
		assert.Equal(t, payload.StatusFailure, d.Status, "%s: a failed rollback rolled nothing back", name)
	}
	d, err := decode(github.WithRollbacks())(event)
	require.NoError(t, err)
	assert.Equal(t, payload.StatusSuccess, d.Status)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	inboundtest.Ignored(t, decode(), []byte(`{"zen":"ping"}`), "github: not a deployment event: a ping")
	inboundtest.Ignored(t, decode(),
		inboundtest.Replace(t, event, `"state": "success"`, `"state": "inactive"`), "inactive")
	for body, want := range map[string]string{
		`{}`:                                    "without a deployment",
		`{"ref":"refs/heads/main"}`:             "without a deployment",
		`{"deployment":null}`:                   "without a deployment",
		`{"action":"queued","deployment":{}}`:   "queued",
		`{"action":"a\u001b[","deployment":{}}`: `"a\x1b["`,
		`{"deployment":{}}`:                     "not created",
		`{"action":"requested","deployment":{},"deployment_callback_url":"https://api.github.com"}`: "requested",
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	const states = "must be one of: error, failure, in_progress, pending, queued, success, waiting"
	for _, c := range []struct{ old, replacement, want string }{
		{`"id": 1234567890123,`, ``, "deployment.id is required"},
		{`"id": 1234567890123,`, `"id": null,`, "deployment.id is required"},
		{`"id": 1234567890123,`, `"id": 1.5,`, "deployment.id must be a string or an integer"},
		{`"id": 1234567890123,`, `"id": "a\n",`, "deployment.id must not contain control characters"},
		{
			`"sha": "3f786850e387550fdab836ed7e6dc881de23001b"`, `"sha": "HEAD"`,
			"deployment.sha must be a valid hex string (5-40 characters)",
		},
		{`"sha": "3f786850e387550fdab836ed7e6dc881de23001b"`, `"sha": null`, "deployment.sha is required"},
		{`"sha": "3f786850e387550fdab836ed7e6dc881de23001b"`, `"sha": 7`, "deployment.sha must be a string"},
		{`"state": "success"`, `"state": "exploded"`, "deployment_status.state " + states},
		{`"state": "success"`, `"state": "Success"`, "deployment_status.state " + states},
		{`"state": "success",`, ``, "deployment_status.state is required"},
		{
			`"run_started_at": "2025-07-02T09:14:30Z"`, `"run_started_at": "yesterday"`,
			"workflow_run.run_started_at must be a valid ISO 8601 date",
		},
		{`"deployment": {`, `"deployment": "1", "was_deployment": {`, "deployment must be an object"},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	twice := inboundtest.Replace(t, event, `"id": 1234567890123,`, ``)
	twice = inboundtest.Replace(t, twice, `"sha": "3f786850e387550fdab836ed7e6dc881de23001b"`, `"sha": ""`)
	inboundtest.Invalid(t, decode(), twice, "deployment.id is required; deployment.sha is required")
	inboundtest.Strict(t, decode(), event)
}

func TestNullsAndFallbacks(t *testing.T) {
	t.Parallel()
	event := string(inboundtest.Read(t, "deployment_status.json"))
	for _, name := range []string{"workflow", "workflow_run", "check_run", "installation", "organization"} {
		event = string(inboundtest.Replace(t, []byte(event), `"`+name+`": {`, `"`+name+`": null, "was_`+name+`": {`))
	}
	event = strings.Replace(event, `"environment": "production",
    "target_url"`, `"environment": null, "target_url"`, 1)
	d, err := decode()([]byte(strings.Replace(event, `"log_url": "https`, `"log_url": "ftp`, 1)))
	require.NoError(t, err)
	assert.Equal(t, "production", d.Environment, "from the deployment")
	assert.Equal(t, "github-actions[bot]", d.TriggeredBy, "the deployment's creator")
	assert.Empty(t, d.PipelineName)
	assert.Equal(t, "https://github.com/octo-org/octo-repo/actions/runs/16023456789/job/45112233445", d.PipelineURL,
		"an invalid link is skipped")
	assert.Equal(t, "2025-07-02T09:14:58Z", d.StartedAt.Format("2006-01-02T15:04:05Z07:00"), "when it was created")
}

func TestRefs(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	for ref, want := range map[string]string{
		"refs/heads/feature/a": "feature/a",
		"feature/a":            "feature/a",
		"refs/tags/v1":         "",
		"v1.4.0":               "",
		"1.4.0-rc.1":           "",
		"1.4":                  "1.4",
		"refs/pull/7/merge":    "",
		"3f786850e387550fdab836ed7e6dc881de23001b": "main", // from the run
		"3f78685":  "",
		"deadbeef": "deadbeef",
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"ref": "main"`, `"ref": "`+ref+`"`))
		require.NoError(t, err)
		assert.Equal(t, want, d.Branch, ref)
		assert.Equal(t, ref, inboundtest.Meta(d, "ref"))
	}
}

func TestPayloadAsText(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	d, err := decode(github.WithRollbacks())(inboundtest.Replace(t, event, `"payload": {}`, `"payload": "{\"service\":\"x\"}"`))
	require.NoError(t, err)
	assert.Equal(t, "octo-repo", d.Service)
	assert.JSONEq(t, `{"service":"x"}`, inboundtest.Meta(d, "payload"))
}

func TestLinksWithCredentialsAreNotPassedOn(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	d, err := decode()(inboundtest.Replace(t, event, `"log_url": "https://github.com`, `"log_url": "https://me:token@ci.example.com`))
	require.NoError(t, err)
	assert.Equal(t, "https://ci.example.com/octo-org/octo-repo/actions/runs/16023456789/job/45112233445", d.PipelineURL)
}

func TestComplete(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment.json")
	d, err := decode(github.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.Environment = strings.TrimSuffix(d.Environment, "-eu")
		return nil
	}))(event)
	require.NoError(t, err)
	assert.Equal(t, "staging", d.Environment)

	inboundtest.Ignored(t, decode(github.WithComplete(func(context.Context, *payload.Deployment) error {
		return payload.ErrIgnored
	})), event, "WithComplete: ")

	down := errors.New("down")
	_, err = decode(github.WithComplete(func(context.Context, *payload.Deployment) error { return down }))(event)
	require.ErrorIs(t, err, down)
	require.NotErrorIs(t, err, payload.ErrInvalid)
}

func sign(h http.Header, body []byte) {
	mac := hmac.New(sha256.New, []byte(secretText))
	mac.Write(body)
	h.Set("X-Hub-Signature-256", "sha256="+hex.EncodeToString(mac.Sum(nil)))
	h.Set("X-GitHub-Event", "push") // not signed, so it does not matter
	// the same for all; not signed, so it is not used for deduplication
	h.Set("X-GitHub-Delivery", "1-2-3")
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := github.NewVerifier(secret)
	require.NoError(t, err)
	decoder, err := github.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    verifier,
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "deployment.json"),
		Ignored:     []byte(`{"zen":"ping"}`),
		Invalid:     inboundtest.Replace(t, event, `"state": "success",`, ``),
		InvalidText: "deployment_status.state is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := github.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = github.NewVerifier(signer.GenerateSecret())
	require.ErrorIs(t, err, signer.ErrConfig, "a whsec_ secret is not what GitHub takes")
	_, err = github.NewDecoder(nil)
	require.ErrorIs(t, err, github.ErrConfig)
	_, err = github.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, github.ErrConfig)
}

func FuzzDecode(f *testing.F) {
	inboundtest.Fuzz(f, decode(github.WithRollbacks(), github.WithPendingInProgress()), 6)
}

func BenchmarkDecode(b *testing.B) {
	event := inboundtest.Read(b, "deployment_status.json")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := github.Decode(context.Background(), event); err != nil {
			b.Fatal(err)
		}
	}
}

func TestSHA256Commit(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("3f786850e387550f", 4)
	event := strings.ReplaceAll(string(inboundtest.Read(t, "deployment_status.json")), "3f786850e387550fdab836ed7e6dc881de23001b", whole)
	d, err := decode()([]byte(event))
	require.NoError(t, err)
	assert.Equal(t, whole[:40], d.CommitSHA)
	assert.Equal(t, whole, inboundtest.Meta(d, "commit_sha256"))
}

// A member that only informs people never makes the record invalid.
func TestInformingMembersOfAnotherKind(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployment_status.json")
	d, err := decode()(inboundtest.Replace(t, event, `"workflow_run": {`, `"workflow_run": 1, "was": {`))
	require.NoError(t, err)
	assert.NotEmpty(t, d.TriggeredBy)
}
