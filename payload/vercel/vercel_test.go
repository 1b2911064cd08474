package vercel_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/payload/vercel"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "vercel-webhook-secret-1"

func decode(opts ...vercel.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return vercel.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "succeeded")
	inboundtest.Golden(t, decode(), "created_preview")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "succeeded.json")
	for status, want := range map[string]payload.Status{
		"deployment.created":           payload.StatusInProgress,
		"deployment.check-rerequested": payload.StatusInProgress,
		"deployment.checks.succeeded":  payload.StatusInProgress,
		"deployment.ready":             payload.StatusInProgress,
		"deployment.succeeded":         payload.StatusSuccess,
		"deployment.promoted":          payload.StatusSuccess,
		"deployment.error":             payload.StatusFailure,
		"deployment.checks.failed":     payload.StatusFailure,
		"deployment.canceled":          payload.StatusCancelled,
		"deployment.rollback":          payload.StatusRolledBack,
		"deployment":                   payload.StatusInProgress,
		"deployment-ready":             payload.StatusInProgress,
		"deployment-error":             payload.StatusFailure,
		"deployment-canceled":          payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"deployment.succeeded"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestHostsAndFallbacks(t *testing.T) {
	t.Parallel()
	event := string(inboundtest.Read(t, "succeeded.json"))
	for _, host := range []string{"github", "gitlab", "bitbucket"} {
		d, err := decode()([]byte(strings.ReplaceAll(event, `"github`, `"`+host)))
		require.NoError(t, err, host)
		assert.Equal(t, "3f786850e387550fdab836ed7e6dc881de23001b", d.CommitSHA)
		assert.Equal(t, "main", d.Branch)
		assert.Equal(t, "monalisa", inboundtest.Meta(d, "commitAuthor"))
	}
	rollback := inboundtest.Replace(t, []byte(event), `"id": "dpl_89qyp1cskzkLrVicDaZoDbjyHuDJ",`, ``)
	rollback = inboundtest.Replace(t, rollback, `"target": "production"`, `"target": "staging", "fromDeploymentId": "dpl_1"`)
	d, err := decode()(rollback)
	require.NoError(t, err)
	assert.Equal(t, "dpl_1", d.DeploymentID)
	assert.Equal(t, "staging", d.Environment)
}

// A deployment from the command line has no commit.
func TestComplete(t *testing.T) {
	t.Parallel()
	event := inboundtest.Replace(t, inboundtest.Read(t, "created_preview.json"),
		`{"gitlabCommitRef": "feature/cart", "gitlabCommitSha": "a84d88e7554fc1fa21bcbc4efae3c782a70d2b9d"}`, `{}`)
	inboundtest.Invalid(t, decode(), event, "commitSha is required, and the event has none; "+
		"deployments from the Vercel command line have none; look it up in WithComplete")
	d, err := decode(vercel.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA = "a84d88e"
		return nil
	}))(event)
	require.NoError(t, err)
	assert.Equal(t, "a84d88e", d.CommitSHA)
}

// Older events have the project as a plain text.
func TestProjectAsText(t *testing.T) {
	t.Parallel()
	d, err := decode()([]byte(`{"id":"evt_1","type":"deployment","createdAt":1751447742123,"payload":{"deploymentId":"dpl_1",
"project":"storefront","deployment":{"meta":{"githubCommitSha":"3f786850e387550fdab836ed7e6dc881de23001b"}},"user":"mona"}}`))
	require.NoError(t, err)
	assert.Equal(t, "storefront", d.Service)
	assert.Equal(t, "storefront", inboundtest.Meta(d, "projectId"))
	assert.Equal(t, payload.StatusInProgress, d.Status)
	assert.Empty(t, d.TriggeredBy, "an informational member of the wrong type is skipped")
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "succeeded.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"createdAt": 1751447742123`, `"createdAt": "2025-07-02"`, `createdAt must be milliseconds since 1970, an integer`},
		{`"createdAt": 1751447742123`, `"createdAt": -1`, `createdAt must be milliseconds since 1970, an integer`},
		{`"createdAt": 1751447742123`, `"createdAt": 9223372036854775807`, `createdAt must be milliseconds since 1970, an integer`},
		{`"createdAt": 1751447742123`, `"createdAt": null`, `createdAt is required`},
		{`"id": "dpl_89qyp1cskzkLrVicDaZoDbjyHuDJ",`, ``, `payload.deployment.id is required`},
		{`"target": "production"`, `"target": 1`, `payload.target must be a string`},
		{`"meta": {`, `"meta": "", "was": {`, `payload.deployment.meta must be an object`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "project.json"), `vercel: not a deployment event: type is "project.created"`)
	for body, want := range map[string]string{
		`{}`:                            `""`,
		`{"type":"deployment.cleanup"}`: `cleanup`,
		`{"type":"deployment.integration.action.start"}`: `action`,
		`{"type":"Deployment.created"}`:                  `Deployment`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func sign(h http.Header, body []byte) {
	mac := hmac.New(sha1.New, []byte(secretText))
	mac.Write(body)
	h.Set("x-vercel-signature", hex.EncodeToString(mac.Sum(nil)))
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "succeeded.json")
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := vercel.NewVerifier(secret)
	require.NoError(t, err)
	decoder, err := vercel.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    verifier,
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "created_preview.json"),
		Ignored:     inboundtest.Read(t, "project.json"),
		Invalid:     inboundtest.Replace(t, event, `"createdAt": 1751447742123,`, ``),
		InvalidText: "createdAt is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := vercel.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = vercel.NewDecoder(nil)
	require.ErrorIs(t, err, vercel.ErrConfig)
	_, err = vercel.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, vercel.ErrConfig)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 4) }
