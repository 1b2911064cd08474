package argocd_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/argocd"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const secretText = "argocd-token-0123456789"

func decode(opts ...argocd.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return argocd.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "running")
	inboundtest.Golden(t, decode(), "deployed")
	inboundtest.Golden(t, decode(), "failed")
	inboundtest.Golden(t, decode(), "multi_source")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployed.json")
	for status, want := range map[string]payload.Status{
		"Running":     payload.StatusInProgress,
		"Terminating": payload.StatusInProgress,
		"Error":       payload.StatusFailure,
		"Failed":      payload.StatusFailure,
		"Succeeded":   payload.StatusSuccess,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"Succeeded"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
	for health, want := range map[string]payload.Status{
		"Healthy":     payload.StatusSuccess,
		"Degraded":    payload.StatusFailure,
		"Progressing": payload.StatusInProgress,
		"Suspended":   payload.StatusInProgress,
		"Missing":     payload.StatusInProgress,
		"Unknown":     payload.StatusInProgress,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"Healthy"`, `"`+health+`"`))
		require.NoError(t, err, health)
		assert.Equal(t, want, d.Status, health)
		assert.Equal(t, "Succeeded", inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, health, inboundtest.Meta(d, "health"))
	}
}

// A sync has one ID from its start to its end, and ends when the application is
// healthy.
func TestOneDeployment(t *testing.T) {
	t.Parallel()
	running, err := decode()(inboundtest.Read(t, "running.json"))
	require.NoError(t, err)
	deployed, err := decode()(inboundtest.Read(t, "deployed.json"))
	require.NoError(t, err)
	assert.Equal(t, running.DeploymentID, deployed.DeploymentID)
	assert.Equal(t, "automated sync", running.TriggeredBy)
	assert.Equal(t, "mona", deployed.TriggeredBy)
	for _, d := range []*payload.Deployment{running, deployed} {
		assert.Equal(t, "a84d88e7554fc1fa21bcbc4efae3c782a70d2b9d", d.PreviousCommitSHA, "the history has this sync only at its end")
	}
	assert.Equal(t, "2026-03-12 14:24:07 +0000 UTC", deployed.CompletedAt.String(), "when the application became healthy")
	early := inboundtest.Replace(t, inboundtest.Read(t, "deployed.json"), `"healthSince": "2026-03-12T14:24:07Z"`, `"healthSince": ""`)
	deployed, err = decode()(early)
	require.NoError(t, err)
	assert.Equal(t, "2026-03-12 14:23:40 +0000 UTC", deployed.CompletedAt.String(), "older versions do not say since when")
}

func TestEnvironment(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployed.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"environment": "production"`, `"environment": "staging"`, "staging"},
		{`"environment": "production"`, `"environment": ""`, "checkout"},
		{`"environment": "production",
  "project": "shop",
  "destination": {
    "name": "",
    "namespace": "checkout"`, `"destination": {"name": "eu-1"`, "eu-1"},
	} {
		d, err := decode()(inboundtest.Replace(t, event, c.old, c.replacement))
		require.NoError(t, err)
		assert.Equal(t, c.want, d.Environment)
	}
	d, err := decode(argocd.WithEnvironment("dev"))(event)
	require.NoError(t, err)
	assert.Equal(t, "dev", d.Environment)
}

// A Helm chart has no commit.
func TestChart(t *testing.T) {
	t.Parallel()
	event := inboundtest.Replace(t, inboundtest.Read(t, "multi_source.json"), `["1.4.2","b0ba7a6ad1b4e6b5f1fb2b8d5f6d2d0dc53a4a11"]`, `["1.4.2"]`)
	inboundtest.Invalid(t, decode(), event, "commitSha is required, and the event has none; "+
		"Helm charts and OCI artifacts have a version instead; look the commit up in WithComplete")
	d, err := decode(argocd.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.CommitSHA = "a84d88e"
		return nil
	}))(event)
	require.NoError(t, err)
	assert.Equal(t, "1.4.2", d.Version)
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployed.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"phase": "Succeeded"`, `"phase": "Done"`, `phase must be one of: Error, Failed, Running, Succeeded, Terminating`},
		{`"phase": "Succeeded",`, ``, `phase is required`},
		{`"health": "Healthy"`, `"health": "Fine"`, `health must be one of: Degraded, Healthy, Missing, Progressing, Suspended, Unknown`},
		{`"health": "Healthy"`, `"health": ""`, `health is required`},
		{`"uid": "3f9c2a51-7d4e-4a0b-9a53-5d7a1c3b2e10"`, `"uid": ""`, `uid is required`},
		{`"finishedAt": "2026-03-12T14:23:40Z"`, `"finishedAt": "then"`, `finishedAt must be a valid ISO 8601 date`},
		{`"sources": [`, `"sources": 1, "was": [`, `sources must be an array`},
		{`"revision": "3f786850e387550fdab836ed7e6dc881de23001b",
  "revisions": []`, `"revision": 7`, `revision must be a string`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "created.json"), `argocd: not a deployment event: the application has no sync operation`)
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "dry_run.json"), `dry run`)
	selective := inboundtest.Replace(t, inboundtest.Read(t, "deployed.json"), `"selective": false`, `"selective": true`)
	inboundtest.Ignored(t, decode(), selective, `selected resources`)
	inboundtest.Ignored(t, decode(), []byte(`{"app":{"status":{}}}`), `another template`)
}

// The template must not send a whole spec or operation.
func TestTemplate_SendsNoParameters(t *testing.T) {
	t.Parallel()
	app, err := os.ReadFile("testdata/apps/deployed.json")
	require.NoError(t, err)
	require.Contains(t, string(app), "not-for-the-webhook")
	assert.NotContains(t, string(inboundtest.Read(t, "deployed.json")), "not-for-the-webhook")
	for _, want := range []string{"service.webhook.deployhook:", "trigger.on-deployhook:", "template.deployhook:", "Bearer $deployhook-token"} {
		assert.Equal(t, 1, strings.Count(argocd.ConfigMap(), want), want)
	}
}

func sign(h http.Header, _ []byte) { h.Set("Authorization", "Bearer "+secretText) }

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "deployed.json")
	token, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := argocd.NewVerifier(token)
	require.NoError(t, err)
	decoder, err := argocd.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:     verifier,
		Decode:       decoder,
		Sign:         sign,
		Forge:        func(h http.Header, _ []byte) { h.Set("Authorization", "Bearer "+secretText+"x") },
		Event:        event,
		Other:        inboundtest.Read(t, "running.json"),
		Ignored:      inboundtest.Read(t, "created.json"),
		Invalid:      inboundtest.Replace(t, event, `"name": "checkout"`, `"name": 1`),
		InvalidText:  "name must be a string",
		Unauthorized: `{"error":"Invalid or missing API key"}`,
	}.Run(t)
}

func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		token, err := signer.NewLiteralSecret(secretText)
		require.NoError(t, err)
		verifier, err := argocd.NewVerifier(signer.GenerateLiteralSecret(), token.NotAfter(time.Now().Add(time.Hour)))
		require.NoError(t, err)
		r := &http.Request{Header: http.Header{}}
		sign(r.Header, nil)
		verified, err := verifier.Verify(r, nil)
		require.NoError(t, err)
		assert.Equal(t, signer.Verified{Principal: "argocd", Key: "token-2"}, verified)
		time.Sleep(time.Hour + time.Second)
		_, err = verifier.Verify(r, nil)
		require.ErrorIs(t, err, signer.ErrInvalidAPIKey)
	})
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := argocd.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, argocd.ErrConfig)
	token, err := signer.NewLiteralSecret("with a blank, and long enough")
	require.NoError(t, err)
	_, err = argocd.NewVerifier(token)
	require.ErrorIs(t, err, argocd.ErrConfig)
	require.NotContains(t, err.Error(), token.Reveal())
	_, err = argocd.NewVerifier(token, token)
	require.ErrorIs(t, err, argocd.ErrConfig)
	good := signer.GenerateLiteralSecret()
	_, err = argocd.NewVerifier(good, good)
	require.ErrorIs(t, err, argocd.ErrConfig)
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = argocd.NewDecoder(nil)
	require.ErrorIs(t, err, argocd.ErrConfig)
	_, err = argocd.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, argocd.ErrConfig)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 6) }
