package netlify_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "netlify-webhook-secret-1"

func decode(opts ...netlify.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return netlify.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "building")
	inboundtest.Golden(t, decode(), "ready")
	inboundtest.Golden(t, decode(), "error")
	inboundtest.Golden(t, decode(netlify.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA = "a84d88e"
		return nil
	})), "recorded")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "ready.json")
	for state, want := range map[string]payload.Status{
		"new":            payload.StatusPending,
		"pending_review": payload.StatusPending,
		"accepted":       payload.StatusPending,
		"enqueued":       payload.StatusPending,
		"building":       payload.StatusInProgress,
		"uploading":      payload.StatusInProgress,
		"uploaded":       payload.StatusInProgress,
		"preparing":      payload.StatusInProgress,
		"prepared":       payload.StatusInProgress,
		"processing":     payload.StatusInProgress,
		"processed":      payload.StatusInProgress,
		"retrying":       payload.StatusInProgress,
		"ready":          payload.StatusSuccess,
		"error":          payload.StatusFailure,
		"rejected":       payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"ready"`, `"`+state+`"`))
		require.NoError(t, err, state)
		assert.Equal(t, want, d.Status, state)
		assert.Equal(t, state, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), state)
	}
}

func TestSkipped(t *testing.T) {
	t.Parallel()
	d, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "error.json"), `"skipped":null`, `"skipped":true`))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusCancelled, d.Status)
	assert.Equal(t, "error", inboundtest.Meta(d, "originalStatus"))
}

// A deploy that is not published has no time of its publication.
func TestUnpublished(t *testing.T) {
	t.Parallel()
	d, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "ready.json"), `"published_at":"2026-03-12T14:24:40.634Z"`, `"published_at":null`))
	require.NoError(t, err)
	assert.Equal(t, "2026-03-12 14:24:40.738 +0000 UTC", d.CompletedAt.String())
	assert.Equal(t, "false", inboundtest.Meta(d, "published"))
}

func TestLinks(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "ready.json")
	const link = `"https://github.com/acme/storefront/commit/f4c8e2a91b3d5f7086a2c4e6d8f0b1a3c5e7d9f1"`
	for replacement, want := range map[string]string{
		link: "https://github.com/acme/storefront",
		`"https://gitlab.com/acme/shop/-/commit/f4c8e2a"`: "https://gitlab.com/acme/shop",
		`"https://example.com/f4c8e2a"`:                   "",
		`null`:                                            "",
	} {
		d, err := decode()(inboundtest.Replace(t, event, link, replacement))
		require.NoError(t, err)
		assert.Equal(t, want, d.RepositoryURL)
		assert.Equal(t, "https://app.netlify.com/sites/storefront/deploys/69b2c8d1f0a3b40008c1d2e3", d.PipelineURL)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "ready.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"state":"ready"`, `"state":"live"`, `state must be one of: accepted, building, enqueued, error, new, pending_review, prepared, preparing, processed, processing, ready, rejected, retrying, uploaded, uploading`},
		{`"state":"ready"`, `"state":null`, `state is required`},
		{`"created_at":"2026-03-12T14:22:01.346Z"`, `"created_at":null`, `created_at is required`},
		{`"context":"production"`, `"context":["production"]`, `context must be a string`},
		{`"id":"69b2c8d1f0a3b40008c1d2e3"`, `"id":""`, `id is required`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Invalid(t, decode(), inboundtest.Read(t, "recorded.json"), "commitSha is required, and the event has none; "+
		"deploys from the command line or a folder have none; look it up in WithComplete")
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "submission.json"), `netlify: not a deployment event: the event is about a form`)
}

func sign(h http.Header, body []byte) {
	sum := sha256.Sum256(body)
	input := base64.RawURLEncoding.EncodeToString([]byte(`{"typ":"JWT","alg":"HS256"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"netlify","sha256":"`+hex.EncodeToString(sum[:])+`"}`))
	mac := hmac.New(sha256.New, []byte(secretText))
	mac.Write([]byte(input))
	h.Set("X-Webhook-Signature", input+"."+base64.RawURLEncoding.EncodeToString(mac.Sum(nil)))
}

func newVerifier(t *testing.T, opts ...signer.Option) *netlify.Signature {
	t.Helper()
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := netlify.NewVerifier(secret, opts...)
	require.NoError(t, err)
	return verifier
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "ready.json")
	decoder, err := netlify.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    newVerifier(t),
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "building.json"),
		Ignored:     inboundtest.Read(t, "submission.json"),
		Invalid:     inboundtest.Replace(t, event, `"context":"production",`, ``),
		InvalidText: "context is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := netlify.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = netlify.NewDecoder(nil)
	require.ErrorIs(t, err, netlify.ErrConfig)
	_, err = netlify.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, netlify.ErrConfig)
}

func FuzzDecode(f *testing.F) {
	inboundtest.Fuzz(f, decode(), 5)
}
