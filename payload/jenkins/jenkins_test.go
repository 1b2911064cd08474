package jenkins_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/payload/jenkins"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "jenkins-password-0123456789"

func decode(opts ...jenkins.Option) inboundtest.Decode {
	opts = append([]jenkins.Option{jenkins.WithEnvironment("production")}, opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return jenkins.Decode(context.Background(), body, opts...)
	}
}

// withTimes sets the times that old versions of the plugin do not send.
func withTimes() jenkins.Option {
	return jenkins.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		if d.StartedAt.IsZero() {
			d.StartedAt = time.Date(2017, 3, 1, 0, 0, 0, 0, time.UTC)
			d.CompletedAt = d.StartedAt
		}
		return nil
	})
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "started")
	inboundtest.Golden(t, decode(jenkins.WithEnvironmentParameter("ENVIRONMENT")), "completed")
	inboundtest.Golden(t, decode(), "failed")
	inboundtest.Golden(t, decode(withTimes()), "recorded")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "completed.json")
	for result, want := range map[string]payload.Status{
		"SUCCESS":   payload.StatusSuccess,
		"UNSTABLE":  payload.StatusSuccess,
		"FAILURE":   payload.StatusFailure,
		"ABORTED":   payload.StatusCancelled,
		"NOT_BUILT": payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"SUCCESS"`, `"`+result+`"`))
		require.NoError(t, err, result)
		assert.Equal(t, want, d.Status, result)
		assert.Equal(t, result, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, result == "UNSTABLE", inboundtest.Meta(d, "partial") == "true", result)
		d, err = decode(jenkins.WithPartialFailure())(inboundtest.Replace(t, event, `"SUCCESS"`, `"`+result+`"`))
		require.NoError(t, err, result)
		assert.Equal(t, want == payload.StatusFailure || result == "UNSTABLE", d.Status == payload.StatusFailure, result)
	}
}

// All phases of a build are one deployment with one start.
func TestPhases(t *testing.T) {
	t.Parallel()
	started, err := decode()(inboundtest.Read(t, "started.json"))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusInProgress, started.Status)
	pending, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "started.json"), `"STARTED"`, `"QUEUED"`))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusPending, pending.Status)
	event := inboundtest.Read(t, "completed.json")
	completed, err := decode()(event)
	require.NoError(t, err)
	assert.Equal(t, started.DeploymentID, completed.DeploymentID)
	assert.Equal(t, started.StartedAt, completed.StartedAt)
	assert.Equal(t, 158312*time.Millisecond, completed.CompletedAt.Sub(completed.StartedAt))
	assert.Empty(t, inboundtest.Meta(completed, "startedAtUnknown"))
	finalized, err := decode()(inboundtest.Replace(t, event, `"COMPLETED"`, `"FINALIZED"`))
	require.NoError(t, err)
	assert.Equal(t, completed.Status, finalized.Status)
	assert.Equal(t, "true", inboundtest.Meta(finalized, "startedAtUnknown"))
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "queued.json"), `no commit yet in phase QUEUED`)
}

// Older versions send the time as a text, and the oldest none.
func TestOldVersions(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "completed.json")
	d, err := decode()(inboundtest.Replace(t, event, `"timestamp":1773325479312`, `"timestamp":"2026-03-12T14:24:39.312+00:00"`))
	require.NoError(t, err)
	want, err := decode()(event)
	require.NoError(t, err)
	assert.Equal(t, want.CompletedAt, d.CompletedAt)
	assert.Equal(t, want.StartedAt, d.StartedAt)
	_, err = decode()(inboundtest.Read(t, "recorded.json"))
	require.ErrorIs(t, err, payload.ErrInvalid)
	require.ErrorContains(t, err, "startedAt is required, and the event has none; this version of the plugin sends no time; set it in WithComplete")
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "completed.json")
	d, err := decode(jenkins.WithEnvironmentParameter("ENVIRONMENT"))(event)
	require.NoError(t, err)
	assert.Equal(t, "staging", d.Environment)
	d, err = decode(jenkins.WithEnvironmentParameter("TARGET"))(event)
	require.NoError(t, err)
	assert.Equal(t, "production", d.Environment)
	inboundtest.Invalid(t, func(body []byte) (*payload.Deployment, error) {
		return jenkins.Decode(t.Context(), body, jenkins.WithEnvironmentParameter("TARGET"))
	}, event, "build.parameters.TARGET is required")
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "completed.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"status":"SUCCESS"`, `"status":"DONE"`, `build.status must be one of: ABORTED, FAILURE, NOT_BUILT, SUCCESS, UNSTABLE`},
		{`"status":"SUCCESS",`, ``, `build.status is required`},
		{`"url":"job/shop/job/deploy-checkout/18/"`, `"url":""`, `build.url is required`},
		{`"duration":158312`, `"duration":-1`, `build.duration must be a number of milliseconds, an integer`},
		{`"duration":158312`, `"duration":3153600000001`, `build.duration must be a number of milliseconds, an integer`},
		{`"duration":158312`, `"duration":"1"`, `build.duration must be a number of milliseconds, an integer`},
		{`"timestamp":1773325479312`, `"timestamp":"soon"`, `build.timestamp must be a valid ISO 8601 date`},
		{`"commit":"f4c8e2a91b3d5f7086a2c4e6d8f0b1a3c5e7d9f1"`, `"commit":null`, `commitSha is required, and the event has none; jobs without git have none; look it up in WithComplete`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	manual := inboundtest.Replace(t, inboundtest.Read(t, "completed.json"), `"COMPLETED"`, `"NONE"`)
	inboundtest.Ignored(t, decode(), manual, `jenkins: not a deployment event: build.phase is "NONE"`)
	inboundtest.Ignored(t, decode(), []byte(`{}`), `build.phase is ""`)
}

// sign sets the header that the plugin makes from jenkins:PASSWORD@ in a URL.
func sign(h http.Header, _ []byte) { h.Set("Authorization", credential(secretText)) }

func credential(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("jenkins:"+password))
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "completed.json")
	password, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := jenkins.NewVerifier("jenkins", password)
	require.NoError(t, err)
	decoder, err := jenkins.NewDecoder(jenkins.WithEnvironment("production"))
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:     verifier,
		Decode:       decoder,
		Sign:         sign,
		Forge:        func(h http.Header, _ []byte) { h.Set("Authorization", credential(secretText+"x")) },
		Event:        event,
		Other:        inboundtest.Read(t, "failed.json"),
		Ignored:      inboundtest.Read(t, "queued.json"),
		Invalid:      inboundtest.Replace(t, event, `"status":"SUCCESS",`, ``),
		InvalidText:  "build.status is required",
		Unauthorized: `{"error":"Invalid or missing API key"}`,
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := jenkins.NewVerifier("jenkins", signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = jenkins.NewDecoder(nil)
	require.ErrorIs(t, err, jenkins.ErrConfig)
	_, err = jenkins.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, jenkins.ErrConfig)
	_, err = jenkins.NewDecoder()
	require.ErrorIs(t, err, jenkins.ErrConfig)
	require.ErrorContains(t, err, "WithEnvironment")
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(withTimes()), 5) }
