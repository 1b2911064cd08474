package render_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/payload/render"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func base() []render.Option {
	return []render.Option{render.WithEnvironment("production"), render.WithComplete(lookUp)}
}

// lookUp replaces a call to Render's API.
func lookUp(_ context.Context, d *payload.Deployment) error {
	d.DeploymentID, d.CommitSHA = "dep-1", "3f786850e387550fdab836ed7e6dc881de23001b"
	return nil
}

func decode(opts ...render.Option) inboundtest.Decode {
	opts = append(base(), opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return render.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "deploy_ended")
	inboundtest.Golden(t, decode(), "deploy_started")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deploy_ended.json")
	for status, want := range map[string]payload.Status{
		"succeeded": payload.StatusSuccess,
		"failed":    payload.StatusFailure,
		"canceled":  payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"status": "succeeded"`, `"status": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	d, err := decode()(inboundtest.Read(t, "deploy_started.json"))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusInProgress, d.Status)
	assert.Empty(t, inboundtest.Meta(d, "startedAtUnknown"))
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deploy_ended.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"succeeded"`, `"live"`, `data.status must be one of: canceled, failed, succeeded`},
		{`"succeeded"`, `null`, `data.status is required`},
		{`"timestamp": "2025-11-20T14:02:11.482913Z",`, ``, `timestamp is required`},
		{`"data": {`, `"data": [], "was": {`, `data must be an object`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "build_ended.json"), `render: not a deployment event: type is "build_ended"`)
	for body, want := range map[string]string{
		`{}`:                       `type is ""`,
		`{"type":"server_failed"}`: `"server_failed"`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

const key = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // 32 bytes

func sign(h http.Header, body []byte) {
	sum := sha256.Sum256(body)
	// an ID for each event
	id, at := hex.EncodeToString(sum[:8]), strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deploy_ended.json")
	secret, err := signer.ParseSecret("whsec_" + base64.StdEncoding.EncodeToString([]byte(key)))
	require.NoError(t, err)
	verifier, err := render.NewVerifier(secret)
	require.NoError(t, err)
	decoder, err := render.NewDecoder(base()...)
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    verifier,
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "deploy_started.json"),
		Ignored:     inboundtest.Read(t, "build_ended.json"),
		Invalid:     inboundtest.Replace(t, event, `"timestamp": "2025-11-20T14:02:11.482913Z",`, ``),
		InvalidText: "timestamp is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := render.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = render.NewDecoder(nil)
	require.ErrorIs(t, err, render.ErrConfig)
	_, err = render.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, render.ErrConfig)
	_, err = render.NewDecoder(render.WithEnvironment("production"))
	require.ErrorIs(t, err, render.ErrConfig)
	require.ErrorContains(t, err, "WithComplete")
	_, err = render.Decode(t.Context(), inboundtest.Read(t, "deploy_ended.json"), render.WithEnvironment("production"),
		render.WithComplete(func(context.Context, *payload.Deployment) error { return nil }))
	require.ErrorIs(t, err, render.ErrConfig, "a field that the lookup left empty is not the sender's mistake")
	require.NotErrorIs(t, err, payload.ErrInvalid)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 5) }
