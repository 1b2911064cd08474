package temps_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/textproto"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/payload/temps"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "temps-webhook-secret-1"

func decode(opts ...temps.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return temps.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "succeeded")
	inboundtest.Golden(t, decode(), "created")
	inboundtest.Golden(t, decode(), "failed")
	inboundtest.Golden(t, decode(), "guide_started")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "succeeded.json")
	for status, want := range map[string]payload.Status{
		"deployment_created":   payload.StatusPending,
		"deployment_ready":     payload.StatusInProgress,
		"deployment_succeeded": payload.StatusSuccess,
		"deployment_failed":    payload.StatusFailure,
		"deployment_cancelled": payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"deployment_succeeded"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
		assert.Equal(t, "2026-03-12 14:22:01.5 +0000 UTC", d.StartedAt.String(), status)
	}
}

// The guide has six types of events. Two of them are about a step and not about
// the deployment.
func TestGuide(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "guide_started.json")
	for kind, want := range map[string]payload.Status{
		"deploy.started":     payload.StatusInProgress,
		"deploy.live":        payload.StatusSuccess,
		"deploy.failed":      payload.StatusFailure,
		"deploy.rolled_back": payload.StatusRolledBack,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"deploy.started"`, `"`+kind+`"`))
		require.NoError(t, err, kind)
		assert.Equal(t, want, d.Status, kind)
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), kind)
		assert.Equal(t, want.Terminal(), inboundtest.Meta(d, "startedAtUnknown") == "true", kind)
		assert.Equal(t, "dep_a1b2c3d4", d.DeploymentID)
	}
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "guide_build.json"), `event is "build.completed"`)
	inboundtest.Ignored(t, decode(), []byte(`{"event":"health_check.passed"}`), `"health_check.passed"`)
	inboundtest.Ignored(t, decode(), []byte(`{"event":"deploy.paused"}`), `"deploy.paused"`)

	bare := []byte(`{"event":"deploy.failed","timestamp":"2026-03-12T14:22:01Z","deployment_id":"dep_1","app":"api","error":"exit 1"}`)
	const advice = "is required, and the event has none; the guide's events may omit it; " +
		"look it up in WithComplete, or take these events with receiver.Events"
	_, err := decode()(bare)
	require.ErrorIs(t, err, payload.ErrInvalid)
	require.ErrorContains(t, err, "commitSha "+advice)
	require.ErrorContains(t, err, "environment "+advice)
	d, err := decode(temps.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA, d.Environment = "f4c8e2a", "production"
		return nil
	}))(bare)
	require.NoError(t, err)
	assert.Equal(t, "exit 1", inboundtest.Meta(d, "reason"))
}

// An image has no commit.
func TestComplete(t *testing.T) {
	t.Parallel()
	event := inboundtest.Replace(t, inboundtest.Read(t, "succeeded.json"), `"commit_sha":"f4c8e2a91b3d5f7086a2c4e6d8f0b1a3c5e7d9f1"`, `"commit_sha":null`)
	inboundtest.Invalid(t, decode(), event, "commitSha is required, and the event has none; "+
		"Temps has none for images and uploaded files; look it up in WithComplete")
	d, err := decode(temps.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA = "a84d88e"
		return nil
	}))(event)
	require.NoError(t, err)
	assert.Equal(t, "a84d88e", d.CommitSHA)
}

// Older servers send neither start nor end.
func TestWithoutTimes(t *testing.T) {
	t.Parallel()
	event := inboundtest.Replace(t, inboundtest.Read(t, "failed.json"), `"started_at":"2026-03-12T15:00:02Z","finished_at":"2026-03-12T15:03:10Z"`, `"started_at":null,"finished_at":null`)
	d, err := decode()(event)
	require.NoError(t, err)
	assert.Equal(t, "2026-03-12 15:03:10 +0000 UTC", d.CompletedAt.String())
	assert.Equal(t, d.CompletedAt, d.StartedAt)
	assert.Equal(t, "true", inboundtest.Meta(d, "startedAtUnknown"))
	assert.Equal(t, "Health check failed after 60s", inboundtest.Meta(d, "reason"))
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "succeeded.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"deployment_id":42`, `"deployment_id":null`, `payload.deployment_id is required`},
		{`"deployment_id":42`, `"deployment_id":4.2`, `payload.deployment_id must be a string or an integer`},
		{`"environment":"production"`, `"environment":""`, `payload.environment is required`},
		{`"started_at":"2026-03-12T14:22:01.5Z"`, `"started_at":"soon"`, `payload.started_at must be a valid ISO 8601 date`},
		{`"timestamp":"2026-03-12T14:26:40.123456789Z"`, `"timestamp":17`, `timestamp must be a string`},
		{`"payload":{`, `"payload":[],"was":{`, `payload must be an object`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "project_created.json"), `temps: not a deployment event: event_type is "project_created"`)
	for body, want := range map[string]string{
		`{}`:                                    `""`,
		`{"event_type":"project_deleted"}`:      `project_deleted`,
		`{"event_type":"domain_created"}`:       `domain_created`,
		`{"event_type":"domain_provisioned"}`:   `domain_provisioned`,
		`{"event_type":"backup_failed"}`:        `backup_failed`,
		`{"event_type":"email_bounced"}`:        `email_bounced`,
		`{"event_type":"deployment.succeeded"}`: `deployment.succeeded`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

// signWith signs as crates/temps-webhooks/src/service.rs does, apart from the
// prefixes.
func signWith(prefix, mark string) func(http.Header, []byte) {
	return func(h http.Header, body []byte) {
		at := strconv.FormatInt(time.Now().Unix(), 10)
		mac := hmac.New(sha256.New, []byte(secretText))
		mac.Write([]byte(at + "."))
		mac.Write(body)
		h.Set(prefix+"-Timestamp", at)
		h.Set(prefix+"-Signature", mark+hex.EncodeToString(mac.Sum(nil)))
	}
}

var sign = signWith("X-Webhook", "sha256=")

func newVerifier(t *testing.T, opts ...signer.Option) *signer.Any {
	t.Helper()
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := temps.NewVerifier(secret, opts...)
	require.NoError(t, err)
	return verifier
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	decoder, err := temps.NewDecoder()
	require.NoError(t, err)
	event := inboundtest.Read(t, "succeeded.json")
	guide := inboundtest.Read(t, "guide_started.json")
	for name, run := range map[string]sourcetest.EndToEnd{
		"server": {
			Sign: sign, Event: event, Other: inboundtest.Read(t, "created.json"), Ignored: inboundtest.Read(t, "project_created.json"),
			Invalid: inboundtest.Replace(t, event, `"environment":"production",`, ``), InvalidText: "payload.environment is required",
		},
		"guide": {
			Sign: signWith("X-Webhook", ""), Event: guide, Other: inboundtest.Replace(t, guide, "deploy.started", "deploy.live"),
			Ignored: inboundtest.Read(t, "guide_build.json"), Invalid: inboundtest.Replace(t, guide, `"dep_a1b2c3d4"`, `""`),
			InvalidText: "deployment_id is required",
		},
		"guide with x-temps": {
			Sign: signWith("X-Temps", ""), Event: guide, Other: inboundtest.Replace(t, guide, "deploy.started", "deploy.live"),
			Ignored: inboundtest.Read(t, "guide_build.json"), Invalid: inboundtest.Replace(t, guide, `"dep_a1b2c3d4"`, `""`),
			InvalidText: "deployment_id is required",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			run.Verifier, run.Decode = newVerifier(t), decoder
			run.Run(t)
		})
	}
}

// testdata/README.md says how OpenSSL made the signature.
func TestVector(t *testing.T) {
	t.Parallel()
	body := inboundtest.Read(t, "succeeded.json")
	reader := bufio.NewReader(bytes.NewReader(append(inboundtest.Read(t, "signed/headers.txt"), '\n')))
	header, err := textproto.NewReader(reader).ReadMIMEHeader()
	require.NoError(t, err)
	synctest.Test(t, func(t *testing.T) {
		seconds, err := strconv.ParseInt(header.Get("X-Webhook-Timestamp"), 10, 64)
		require.NoError(t, err)
		time.Sleep(time.Until(time.Unix(seconds, 0)))
		verifier := newVerifier(t, signer.WithPrincipal("acme"))
		verified, err := verifier.Verify(&http.Request{Header: http.Header(header)}, body)
		require.NoError(t, err)
		assert.Equal(t, signer.Verified{Timestamp: time.Unix(seconds, 0), Principal: "acme", Key: verified.Key}, verified, "the delivery's number is not signed")

		_, err = verifier.Verify(&http.Request{Header: http.Header(header)}, append(body, ' '))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		time.Sleep(signer.DefaultTolerance + time.Second)
		_, err = verifier.Verify(&http.Request{Header: http.Header(header)}, body)
		require.ErrorIs(t, err, signer.ErrTooOld)
	})
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := temps.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = temps.NewDecoder(nil)
	require.ErrorIs(t, err, temps.ErrConfig)
	_, err = temps.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, temps.ErrConfig)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 6) }
