package circleci_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/circleci"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "circleci-webhook-secret-1"

func decode(opts ...circleci.Option) inboundtest.Decode {
	opts = append([]circleci.Option{circleci.WithEnvironment("production")}, opts...)
	return func(body []byte) (*payload.Deployment, error) {
		return circleci.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "workflow_github")
	inboundtest.Golden(t, decode(), "workflow_gitlab")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "workflow_github.json")
	for status, want := range map[string]payload.Status{
		"success":      payload.StatusSuccess,
		"failed":       payload.StatusFailure,
		"error":        payload.StatusFailure,
		"canceled":     payload.StatusCancelled,
		"unauthorized": payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"success"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
	}
}

func TestWorkflows(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "workflow_github.json")
	_, err := decode(circleci.WithWorkflows("release", "build-test-deploy"))(event)
	require.NoError(t, err)
	inboundtest.Ignored(t, decode(circleci.WithWorkflows("release")), event, `WithWorkflows does not name the workflow "build-test-deploy"`)
}

func TestTag(t *testing.T) {
	t.Parallel()
	d, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "workflow_github.json"), `"branch":"main"`, `"tag":"v1.4.0"`))
	require.NoError(t, err)
	assert.Empty(t, d.Branch)
	assert.Equal(t, "v1.4.0", inboundtest.Meta(d, "tag"))
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "workflow_github.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"status":"success"`, `"status":"running"`, `workflow.status must be one of: canceled, error, failed, success, unauthorized`},
		{`"status":"success"`, `"status":null`, `workflow.status is required`},
		{`"created_at":"2021-09-01T22:49:03.616Z"`, `"created_at":""`, `workflow.created_at is required`},
		{`"revision":"1dc6aa69429bff4806ad6afe58d3d8f57e25973e",`, ``, `commitSha is required, and the event has none; pipelines without a repository have none; look it up in WithComplete`},
		{`"vcs":{`, `"vcs":[],"was":{`, `pipeline.vcs must be an object`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "job.json"), `circleci: not a deployment event: type is "job-completed"`)
	inboundtest.Ignored(t, decode(), []byte(`{}`), `type is ""`)
}

func sign(h http.Header, body []byte) {
	mac := hmac.New(sha256.New, []byte(secretText))
	mac.Write(body)
	h.Set("circleci-signature", "v1="+hex.EncodeToString(mac.Sum(nil)))
}

func newVerifier(t *testing.T) *signer.BodyOnly {
	t.Helper()
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := circleci.NewVerifier(secret)
	require.NoError(t, err)
	return verifier
}

// The header is a list of signatures of different versions.
func TestVerify_List(t *testing.T) {
	t.Parallel()
	h := http.Header{}
	sign(h, []byte(`{}`))
	good := h.Get("Circleci-Signature")
	for text, want := range map[string]error{
		good:                            nil,
		"v2=abc," + good:                nil,
		good + ",v1=" + good[3:]:        nil,
		"v2=" + good[3:]:                signer.ErrMalformed,
		good[3:]:                        signer.ErrMalformed,
		"v1=" + strings.Repeat("0", 64): signer.ErrNoMatch,
	} {
		_, err := newVerifier(t).Verify(&http.Request{Header: http.Header{"Circleci-Signature": {text}}}, []byte(`{}`))
		require.ErrorIs(t, err, want, text)
	}
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "workflow_github.json")
	decoder, err := circleci.NewDecoder(circleci.WithEnvironment("production"))
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    newVerifier(t),
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "workflow_gitlab.json"),
		Ignored:     inboundtest.Read(t, "job.json"),
		Invalid:     inboundtest.Replace(t, event, `"status":"success"`, `"status":null`),
		InvalidText: "workflow.status is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := circleci.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = circleci.NewDecoder(nil)
	require.ErrorIs(t, err, circleci.ErrConfig)
	_, err = circleci.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, circleci.ErrConfig)
	_, err = circleci.NewDecoder()
	require.ErrorIs(t, err, circleci.ErrConfig)
	require.ErrorContains(t, err, "WithEnvironment")
	_, err = circleci.NewDecoder(circleci.WithEnvironment("production"), circleci.WithWorkflows("deploy", ""))
	require.ErrorIs(t, err, circleci.ErrConfig)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 3) }
