package dokploy_test

import (
	"context"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/dokploy"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "dokploy-token-0123456789"

func base() []dokploy.Option {
	return []dokploy.Option{dokploy.WithEnvironment("production"), dokploy.WithComplete(lookUp)}
}

// lookUp replaces a call to Dokploy's API.
func lookUp(_ context.Context, d *payload.Deployment) error {
	d.CommitSHA = "3f786850e387550fdab836ed7e6dc881de23001b"
	return nil
}

func decode(opts ...dokploy.Option) inboundtest.Decode {
	opts = append(base(), opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return dokploy.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "success")
	inboundtest.Golden(t, decode(), "error")
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	decode := func(body []byte) (*payload.Deployment, error) {
		return dokploy.Decode(context.Background(), body, dokploy.WithComplete(lookUp))
	}
	d, err := decode(inboundtest.Replace(t, event, `"status"`, `"environmentName":"staging","status"`))
	require.NoError(t, err)
	assert.Equal(t, "staging", d.Environment)
	inboundtest.Invalid(t, decode, event, "environment is required, and the event has none; "+
		"this version of Dokploy does not send it; use WithEnvironment, or set it in WithComplete")
}

// Without a link to the service, the names of project and application have to
// do.
func TestDeploymentID(t *testing.T) {
	t.Parallel()
	event := string(inboundtest.Read(t, "success.json"))
	const link = `"https://dokploy.example.com/dashboard/project/p1X2y3/environment/e4Z5/services/application/aB7cD8eF9?tab=deployments"`
	for replacement, want := range map[string]string{
		link:   "aB7cD8eF9-2026-03-12T14:26:40.123Z",
		`null`: "shop-checkout-2026-03-12T14:26:40.123Z",
		`"https://dokploy.example.com/dashboard"`: "shop-checkout-2026-03-12T14:26:40.123Z",
		`"javascript:alert(1)"`:                   "shop-checkout-2026-03-12T14:26:40.123Z",
	} {
		d, err := decode()(inboundtest.Replace(t, []byte(event), link, replacement))
		require.NoError(t, err)
		assert.Equal(t, want, d.DeploymentID)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"status":"success"`, `"status":"done"`, `status must be one of: error, success`},
		{`"status":"success"`, `"status":null`, `status is required`},
		{`"timestamp":"2026-03-12T14:26:40.123Z",`, ``, `timestamp is required`},
		{`"applicationName":"checkout"`, `"applicationName":7`, `applicationName must be a string`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "restart.json"), `dokploy: not a deployment event: type is "dokploy-restart"`)
	for body, want := range map[string]string{
		`{}`:                        `""`,
		`{"type":"docker-cleanup"}`: `docker-cleanup`,
		`{"type":"success","databaseName":"shop"}`: `"success"`,
		`{"type":"test","status":"success"}`:       `"test"`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func sign(h http.Header, _ []byte) { h.Set("Authorization", "Bearer "+secretText) }

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	token, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := dokploy.NewVerifier(token)
	require.NoError(t, err)
	decoder, err := dokploy.NewDecoder(base()...)
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:     verifier,
		Decode:       decoder,
		Sign:         sign,
		Forge:        func(h http.Header, _ []byte) { h.Set("Authorization", "Bearer "+secretText+"x") },
		Event:        event,
		Other:        inboundtest.Read(t, "error.json"),
		Ignored:      inboundtest.Read(t, "restart.json"),
		Invalid:      inboundtest.Replace(t, event, `"status":"success"`, `"status":"done"`),
		InvalidText:  "status must be one of: error, success",
		Unauthorized: `{"error":"Invalid or missing API key"}`,
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := dokploy.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, dokploy.ErrConfig)
	_, err = dokploy.NewDecoder(nil)
	require.ErrorIs(t, err, dokploy.ErrConfig)
	_, err = dokploy.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, dokploy.ErrConfig)
	_, err = dokploy.NewDecoder(dokploy.WithEnvironment("production"))
	require.ErrorIs(t, err, dokploy.ErrConfig)
	require.ErrorContains(t, err, "WithComplete")
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 3) }
