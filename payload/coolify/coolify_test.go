package coolify_test

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
	"github.com/deployhook/deployhook/payload/coolify"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "coolify-password-0123456789"

func base() []coolify.Option { return []coolify.Option{coolify.WithComplete(lookUp)} }

// lookUp replaces a call to Coolify's API.
func lookUp(_ context.Context, d *payload.Deployment) error {
	d.CommitSHA = "3f786850e387550fdab836ed7e6dc881de23001b"
	d.StartedAt = time.Date(2026, 3, 12, 14, 22, 1, 0, time.UTC)
	d.CompletedAt = d.StartedAt.Add(4 * time.Minute)
	return nil
}

func decode(opts ...coolify.Option) inboundtest.Decode {
	opts = append(base(), opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return coolify.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "success")
	inboundtest.Golden(t, decode(), "failed")
	inboundtest.Golden(t, decode(), "preview")
}

// A pull request's deployment must not count as one of its environment.
func TestPreview(t *testing.T) {
	t.Parallel()
	d, err := decode()(inboundtest.Read(t, "preview.json"))
	require.NoError(t, err)
	assert.Equal(t, "preview", d.Environment)
	assert.Equal(t, "production", inboundtest.Meta(d, "environment"))
	assert.Equal(t, "7", inboundtest.Meta(d, "pullRequest"))
	assert.Equal(t, "https://7.shop.example.com", inboundtest.Meta(d, "url"))
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"deployment_uuid":"vs0ow4c8kkw0sgog8kcsks4c"`, `"deployment_uuid":null`, `deployment_uuid is required`},
		{`"environment":"production"`, `"environment":""`, `environment is required`},
		{`"application_name":"checkout"`, `"application_name":7`, `application_name must be a string`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "test.json"), `coolify: not a deployment event: event is "test"`)
	for body, want := range map[string]string{
		`{}`:                             `""`,
		`{"event":"status_changed"}`:     `status_changed`,
		`{"event":"backup_success"}`:     `backup_success`,
		`{"event":"server_unreachable"}`: `server_unreachable`,
		`{"event":"Deployment_success"}`: `Deployment_success`,
		`{"event":"deployment.success"}`: `deployment.success`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

// sign sets the header that libcurl makes from coolify:PASSWORD@ in a URL.
func sign(h http.Header, _ []byte) { h.Set("Authorization", credential(secretText)) }

func credential(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("coolify:"+password))
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	password, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := coolify.NewVerifier("coolify", password)
	require.NoError(t, err)
	decoder, err := coolify.NewDecoder(base()...)
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:     verifier,
		Decode:       decoder,
		Sign:         sign,
		Forge:        func(h http.Header, _ []byte) { h.Set("Authorization", credential(secretText+"x")) },
		Event:        event,
		Other:        inboundtest.Read(t, "failed.json"),
		Ignored:      inboundtest.Read(t, "test.json"),
		Invalid:      inboundtest.Replace(t, event, `"environment":"production",`, ``),
		InvalidText:  "environment is required",
		Unauthorized: `{"error":"Invalid or missing API key"}`,
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := coolify.NewVerifier("coolify", signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = coolify.NewVerifier("", signer.GenerateLiteralSecret())
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = coolify.NewDecoder(nil)
	require.ErrorIs(t, err, coolify.ErrConfig)
	_, err = coolify.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, coolify.ErrConfig)
	_, err = coolify.NewDecoder()
	require.ErrorIs(t, err, coolify.ErrConfig)
	require.ErrorContains(t, err, "WithComplete")
	_, err = coolify.Decode(t.Context(), inboundtest.Read(t, "success.json"),
		coolify.WithComplete(func(context.Context, *payload.Deployment) error { return nil }))
	require.ErrorIs(t, err, coolify.ErrConfig, "a field that the lookup left empty is not the sender's mistake")
	require.NotErrorIs(t, err, payload.ErrInvalid)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 4) }
