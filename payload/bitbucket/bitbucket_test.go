package bitbucket_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/bitbucket"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "bitbucket-webhook-secret-1"

func base() []bitbucket.Option {
	return []bitbucket.Option{bitbucket.WithEnvironment("production")}
}

func decodeRecord(body []byte) (*payload.Deployment, error) {
	return bitbucket.DecodeRecord(context.Background(), body)
}

func decode(opts ...bitbucket.Option) inboundtest.Decode {
	opts = append(base(), opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return bitbucket.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "commit_status")
	inboundtest.Golden(t, decode(), "started")
	inboundtest.Golden(t, decodeRecord, "record")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "commit_status.json")
	for status, want := range map[string]payload.Status{
		"INPROGRESS": payload.StatusInProgress,
		"SUCCESSFUL": payload.StatusSuccess,
		"FAILED":     payload.StatusFailure,
		"STOPPED":    payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"SUCCESSFUL"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestEveryRecordState(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "record.json")
	for status, want := range map[string]payload.Status{
		"PENDING":     payload.StatusPending,
		"IN_PROGRESS": payload.StatusInProgress,
		"SUCCESSFUL":  payload.StatusSuccess,
		"FAILED":      payload.StatusFailure,
		"CANCELLED":   payload.StatusCancelled,
		"ROLLED_BACK": payload.StatusRolledBack,
	} {
		d, err := decodeRecord(inboundtest.Replace(t, event, `"SUCCESSFUL"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestRecords(t *testing.T) {
	t.Parallel()
	record := inboundtest.Read(t, "record.json")
	inboundtest.Ignored(t, decodeRecord, inboundtest.Replace(t, record, `"SUCCESSFUL"`, `"UNKNOWN"`), "UNKNOWN")
	inboundtest.Invalid(t, decodeRecord, inboundtest.Replace(t, record, `"key": "CHECKOUT",`, ``), "key is required")
	inboundtest.Invalid(t, decodeRecord, inboundtest.Replace(t, record, `"SUCCESSFUL"`, `7`), "state must be a string")
	inboundtest.Invalid(t, decodeRecord, inboundtest.Replace(t, record, `418,`, `null,`), "deploymentSequenceNumber is required")
	inboundtest.Strict(t, decodeRecord, record)
	d, err := bitbucket.DecodeRecord(t.Context(), record, bitbucket.WithEnvironment("prod"))
	require.NoError(t, err)
	assert.Equal(t, "prod", d.Environment)
	_, err = bitbucket.DecodeRecord(t.Context(), record, nil)
	require.ErrorIs(t, err, bitbucket.ErrConfig)
}

// The caller decides which commit statuses are deployments.
func TestComplete(t *testing.T) {
	t.Parallel()
	tell := func(_ context.Context, d *payload.Deployment) error {
		if inboundtest.Meta(d, "key") != "deploy-production" {
			return payload.ErrIgnored
		}
		d.Environment = "eu"
		return nil
	}
	event := inboundtest.Read(t, "commit_status.json")
	d, err := decode(bitbucket.WithComplete(tell))(event)
	require.NoError(t, err)
	assert.Equal(t, "eu", d.Environment)
	inboundtest.Ignored(t, decode(bitbucket.WithComplete(tell)),
		inboundtest.Replace(t, event, `"key": "deploy-production"`, `"key": "build"`), "WithComplete: ")
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "commit_status.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"key": "deploy-production",`, ``, `commit_status.key is required`},
		{`"SUCCESSFUL"`, `"successful"`, `commit_status.state must be one of: FAILED, INPROGRESS, STOPPED, SUCCESSFUL`},
		{`"state": "SUCCESSFUL",`, ``, `commit_status.state is required`},
		{`"created_on": "2025-07-02T09:14:30.669860+00:00",`, ``, `commit_status.created_on is required`},
		{`"updated_on": "2025-07-02T09:15:42.801410+00:00"`, `"updated_on": "x"`, `commit_status.updated_on must be a valid ISO 8601 date`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "push.json"), `bitbucket: not a deployment event: an event without a commit status`)
	for body, want := range map[string]string{
		`{}`:                     `commit status`,
		`{"test":true}`:          `commit status`,
		`{"commit_status":null}`: `commit status`,
		`{"resourceSpans":[]}`:   `commit status`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func sign(h http.Header, body []byte) {
	mac := hmac.New(sha256.New, []byte(secretText))
	mac.Write(body)
	h.Set("X-Hub-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "commit_status.json")
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := bitbucket.NewVerifier(secret)
	require.NoError(t, err)
	decoder, err := bitbucket.NewDecoder(base()...)
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    verifier,
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "started.json"),
		Ignored:     inboundtest.Read(t, "push.json"),
		Invalid:     inboundtest.Replace(t, event, `"key": "deploy-production",`, ``),
		InvalidText: "commit_status.key is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := bitbucket.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = bitbucket.NewDecoder(nil)
	require.ErrorIs(t, err, bitbucket.ErrConfig)
	_, err = bitbucket.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, bitbucket.ErrConfig)
	_, err = bitbucket.NewDecoder()
	require.ErrorIs(t, err, bitbucket.ErrConfig)
	require.ErrorContains(t, err, "WithEnvironment")
	// A value that the options leave empty is a configuration mistake, so the
	// response is not 400.
	_, err = bitbucket.Decode(t.Context(), inboundtest.Read(t, "commit_status.json"),
		bitbucket.WithComplete(func(context.Context, *payload.Deployment) error { return nil }))
	require.ErrorIs(t, err, bitbucket.ErrConfig)
	require.NotErrorIs(t, err, payload.ErrInvalid)
	require.ErrorContains(t, err, "environment is required")
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 5) }
