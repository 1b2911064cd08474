package heroku_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/heroku"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "heroku-webhook-secret-1"

func base() []heroku.Option {
	return []heroku.Option{heroku.WithEnvironment("production")}
}

func decode(opts ...heroku.Option) inboundtest.Decode {
	opts = append(base(), opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return heroku.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "deploy")
	inboundtest.Golden(t, decode(), "rollback")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deploy.json")
	for status, want := range map[string]payload.Status{
		"pending":   payload.StatusInProgress,
		"succeeded": payload.StatusSuccess,
		"failed":    payload.StatusFailure,
		"expired":   payload.StatusFailure,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"status": "succeeded"`, `"status": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestRollback(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "rollback.json")
	for status, want := range map[string]payload.Status{
		"pending":   payload.StatusInProgress,
		"succeeded": payload.StatusRolledBack,
		"failed":    payload.StatusFailure,
		"expired":   payload.StatusFailure,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"status": "succeeded"`, `"status": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, "true", inboundtest.Meta(d, "rollback"))
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestDescriptions(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deploy.json")
	for _, description := range []string{"Deploy 3f786850", "Deployed web (sha256:1)", "Promote checkout-staging v7 3f786850"} {
		d, err := decode()(inboundtest.Replace(t, event, `"Deploy 3f786850"`, `"`+description+`"`))
		require.NoError(t, err)
		assert.Equal(t, payload.StatusSuccess, d.Status, description)
	}
	for _, description := range []string{
		"", "Set STRIPE_KEY config vars", "Remove A config vars", "Attach DATABASE (@ref:postgresql-1)", "Enable Logplex",
		"Initial release", "Rollback", "Rollback to version", "Deployment",
	} {
		inboundtest.Ignored(t, decode(), inboundtest.Replace(t, event, `"Deploy 3f786850"`, `"`+description+`"`), "configuration")
	}
}

// A release of a container image has no slug.
func TestComplete(t *testing.T) {
	t.Parallel()
	event := inboundtest.Replace(t, inboundtest.Read(t, "config.json"), `Set STRIPE_KEY config vars`, `Deployed web (sha256:1)`)
	inboundtest.Invalid(t, decode(), event, "commitSha is required, and the event has none; a release of a container image has no commit; look it up in WithComplete")
	d, err := decode(heroku.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA = "a84d88e"
		return nil
	}))(event)
	require.NoError(t, err)
	assert.Equal(t, "a84d88e", d.CommitSHA)
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deploy.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"status": "succeeded",`, ``, `data.status is required`},
		{`"status": "succeeded",`, `"status": "odd",`, `data.status must be one of: expired, failed, pending, succeeded`},
		{`"id": "0a7b2a2b-3d3c-4f62-8d0a-6f3a9d1b6c11",`, ``, `data.id is required`},
		{`"2025-07-02T09:14:30Z"`, `"soon"`, `data.created_at must be a valid ISO 8601 date`},
		{`"2025-07-02T09:15:42Z"`, `null`, `data.updated_at is required when status is a terminal state (success, failure, cancelled, rolled_back)`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "config.json"), `heroku: not a deployment event: the release changes the configuration, not the code`)
	for body, want := range map[string]string{
		`{}`:                                 `resource is ""`,
		`{"resource":"build"}`:               `"build"`,
		`{"resource":"release","data":null}`: `configuration`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func sign(h http.Header, body []byte) {
	mac := hmac.New(sha256.New, []byte(secretText))
	mac.Write(body)
	h.Set("Heroku-Webhook-Hmac-SHA256", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event, rollback := inboundtest.Read(t, "deploy.json"), inboundtest.Read(t, "rollback.json")
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := heroku.NewVerifier(secret)
	require.NoError(t, err)
	decoder, err := heroku.NewDecoder(base()...)
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    verifier,
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Retry:       inboundtest.Replace(t, event, `5f0b0f3e-88c7-4f6c-b0e6-0d25e7a3f9b2`, `6f0b0f3e-88c7-4f6c-b0e6-0d25e7a3f9b2`),
		Other:       rollback,
		Ignored:     inboundtest.Read(t, "config.json"),
		Invalid:     inboundtest.Replace(t, rollback, `"id": "1a7b2a2b-3d3c-4f62-8d0a-6f3a9d1b6c11",`, ``),
		InvalidText: "data.id is required",
	}.Run(t)
}

// A retry has a different body because of its attempt ID, so a hash of the body
// would not identify it as a duplicate.
func TestVerifier_ReturnsDeliveryID(t *testing.T) {
	t.Parallel()
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	v, err := heroku.NewVerifier(secret, signer.WithPrincipal("acme"))
	require.NoError(t, err)
	for body, want := range map[string]string{
		string(inboundtest.Read(t, "deploy.json")): "9a4e5b60-37d1-43b5-9b8f-bd2a24c9d7c3",
		// the receiver's own hashes contain a dot
		`{"webhook_metadata":{"delivery":{"id":"a.b"}}}`:           "",
		`{"webhook_metadata":{"delivery":{"id":"a b"}}}`:           "",
		`{"webhook_metadata":{"delivery":{"id":7}}}`:               "",
		`{"webhook_metadata":{"delivery":null}}`:                   "",
		`{"webhook_metadata":{"delivery":{"id":"a"}},"a":1,"a":2}`: "",
		`{"webhook_metadata":7}`:                                   "",
		`not JSON`:                                                 "",
	} {
		r := &http.Request{Header: http.Header{}}
		sign(r.Header, []byte(body))
		require.True(t, v.Present(r.Header))
		verified, err := v.Verify(r, []byte(body))
		require.NoError(t, err)
		assert.Equal(t, want, verified.ID, body)
		assert.Equal(t, "acme", verified.Principal)
		verified, err = v.Verify(r, append([]byte(body), ' '))
		require.ErrorIs(t, err, signer.ErrNoMatch)
		assert.Empty(t, verified)
	}
	assert.True(t, v.SignsID())
	assert.Equal(t, "heroku.Verifier", fmt.Sprintf("%+v", v))
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := heroku.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = heroku.NewDecoder(nil)
	require.ErrorIs(t, err, heroku.ErrConfig)
	_, err = heroku.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, heroku.ErrConfig)
	_, err = heroku.NewDecoder()
	require.ErrorIs(t, err, heroku.ErrConfig)
	require.ErrorContains(t, err, "WithEnvironment")
	// A value that the options leave empty is a configuration mistake, so the
	// response is not 400.
	_, err = heroku.Decode(t.Context(), inboundtest.Read(t, "deploy.json"),
		heroku.WithComplete(func(context.Context, *payload.Deployment) error { return nil }))
	require.ErrorIs(t, err, heroku.ErrConfig)
	require.NotErrorIs(t, err, payload.ErrInvalid)
	require.ErrorContains(t, err, "environment is required")
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 4) }

// The error of a verifier that NewVerifier did not create names that mistake
// instead of blaming the request.
func TestVerifier_NilAndZero(t *testing.T) {
	t.Parallel()
	for _, v := range []*heroku.Verifier{nil, {}} {
		_, err := v.Verify(httptest.NewRequest(http.MethodPost, "/", nil), nil)
		require.ErrorIs(t, err, signer.ErrConfig)
		require.NotErrorIs(t, err, signer.ErrUnverified)
		require.Empty(t, v.Principals())
		require.False(t, v.Present(http.Header{}))
	}
}
