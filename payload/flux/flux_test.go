package flux_test

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
	"github.com/deployhook/deployhook/payload/flux"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// secretText is the key in the notification controller's own test.
const secretText = "7152fed34dd6149a7c75a276c510da27cb6f82b0"

func decode(opts ...flux.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return flux.Decode(context.Background(), body, opts...)
	}
}

// withCommit sets the commit that a chart lacks.
func withCommit() flux.Option {
	return flux.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		if d.CommitSHA == "" {
			d.CommitSHA = "a84d88e"
		}
		return nil
	})
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "applied")
	inboundtest.Golden(t, decode(), "healthy")
	inboundtest.Golden(t, decode(), "failed")
	inboundtest.Golden(t, decode(), "oci")
	inboundtest.Golden(t, decode(flux.WithEnvironment("dev")), "prefixed")
	inboundtest.Golden(t, decode(withCommit()), "helm_upgraded")
}

func TestEveryRelease(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "helm_upgraded.json")
	for reason, want := range map[string]payload.Status{
		"InstallSucceeded": payload.StatusSuccess,
		"InstallFailed":    payload.StatusFailure,
		"UpgradeSucceeded": payload.StatusSuccess,
		"UpgradeFailed":    payload.StatusFailure,
		"TestSucceeded":    payload.StatusSuccess,
		"TestFailed":       payload.StatusFailure,
	} {
		d, err := decode(withCommit())(inboundtest.Replace(t, event, `"UpgradeSucceeded"`, `"`+reason+`"`))
		require.NoError(t, err, reason)
		assert.Equal(t, want, d.Status, reason)
		assert.Equal(t, reason, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want == payload.StatusFailure, inboundtest.Meta(d, "reason") != "", reason)
	}
	for _, reason := range []string{"RollbackSucceeded", "RollbackFailed", "UninstallSucceeded", "Progressing", "DependencyNotReady"} {
		inboundtest.Ignored(t, decode(), inboundtest.Replace(t, event, `"UpgradeSucceeded"`, `"`+reason+`"`), reason)
	}
	inboundtest.Invalid(t, decode(), event, "commitSha is required, and the event has none; "+
		"charts and artifacts without an origin revision have none; look it up in WithComplete")
}

// A revision has one ID, whatever happens to it.
func TestKustomization(t *testing.T) {
	t.Parallel()
	applied, err := decode()(inboundtest.Read(t, "applied.json"))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusInProgress, applied.Status)
	healthy, err := decode()(inboundtest.Read(t, "healthy.json"))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusSuccess, healthy.Status)
	failed, err := decode()(inboundtest.Read(t, "failed.json"))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusFailure, failed.Status)
	assert.Equal(t, applied.DeploymentID, healthy.DeploymentID)
	assert.Equal(t, applied.DeploymentID, failed.DeploymentID)
	applied, err = decode(flux.WithAppliedSuccess())(inboundtest.Read(t, "applied.json"))
	require.NoError(t, err)
	assert.Equal(t, payload.StatusSuccess, applied.Status)
}

// Without a condition, Flux gives the severity as the reason.
func TestKustomization_WithoutReason(t *testing.T) {
	t.Parallel()
	for old, want := range map[string]string{`"reason":"HealthCheckFailed",`: "error", `"HealthCheckFailed"`: "BuildFailed"} {
		replacement := ""
		if want != "error" {
			replacement = `"` + want + `"`
		}
		d, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "failed.json"), old, replacement))
		require.NoError(t, err)
		assert.Equal(t, payload.StatusFailure, d.Status)
		assert.Equal(t, want, inboundtest.Meta(d, "originalStatus"))
	}
}

func TestRevisions(t *testing.T) {
	t.Parallel()
	const sha, long = "731f7eaddfb6af01cb2173e18f0f75b0ba780ef1", "3b6cdcc7adcc9a84d3214ee1c029543789d90b5ae69debe9efa3f66e982875de"
	event := inboundtest.Read(t, "healthy.json")
	for _, c := range []struct{ metadata, commit, branch, digest string }{
		{`"revision":"main@sha1:` + sha + `"`, sha, "main", ""},
		{`"revision":"feature/cart@sha1:` + sha + `"`, sha, "feature/cart", ""},
		{`"revision":"refs/heads/main@sha1:` + sha + `"`, sha, "main", ""},
		{`"revision":"refs/tags/v1@sha1:` + sha + `"`, sha, "", ""},
		{`"revision":"v1.4.0@sha1:` + sha + `"`, sha, "", ""},
		{`"revision":"sha1:` + sha + `"`, sha, "", ""},
		{`"revision":"feature/cart/` + sha + `"`, sha, "feature/cart", ""},
		{`"revision":"` + sha + `"`, sha, "", ""},
		{`"revision":"v1@sha256:` + long + `","originRevision":"main@sha1:` + sha + `"`, sha, "main", "sha256:" + long},
		{`"revision":"v1@sha256:` + long + `","commit":"sha1:` + sha + `"`, sha, "", "sha256:" + long},
		{`"revision":"v1@sha256:` + long + `","kustomize.toolkit.fluxcd.io/originRevision":"main/` + sha + `"`, sha, "main", "sha256:" + long},
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"revision":"main@sha1:`+sha+`"`, c.metadata))
		require.NoError(t, err, c.metadata)
		assert.Equal(t, c.commit, d.CommitSHA, c.metadata)
		assert.Equal(t, c.branch, d.Branch, c.metadata)
		assert.Equal(t, c.digest, d.ArtifactDigest, c.metadata)
	}
	_, err := decode()(inboundtest.Replace(t, event, `main@sha1:`+sha, `v1@sha256:`+long))
	require.ErrorIs(t, err, payload.ErrInvalid, "the digest of an artifact is no commit")
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "healthy.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"timestamp":"2026-03-12T14:22:41Z"`, `"timestamp":"now"`, `timestamp must be a valid ISO 8601 date`},
		{`"timestamp":"2026-03-12T14:22:41Z"`, `"timestamp":null`, `timestamp is required`},
		{`"uid":"7d0cdc51-ddcf-4743-b223-83ca5c699632",`, ``, `involvedObject.uid is required`},
		{`"environment":"production",`, ``, `environment is required, and the event has none; set environment in the Alert's eventMetadata, or use WithEnvironment`},
		{`"environment":"production",`, `"environment":1,`, `metadata.environment must be a string`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "source.json"), `flux: not a deployment event: involvedObject.kind is "GitRepository"`)
	event := string(inboundtest.Read(t, "healthy.json"))
	for old, replacement := range map[string]string{
		`"reason":"Progressing"`: `"reason":"DependencyNotReady"`,
		`"severity":"info"`:      `"severity":"trace"`,
		`"revision"`:             `"release"`,
	} {
		inboundtest.Ignored(t, decode(), inboundtest.Replace(t, []byte(event), old, replacement), "reason is ")
	}
	failed := inboundtest.Read(t, "failed.json")
	for _, reason := range []string{"ReconciliationSucceeded", "HealthCheckCanceled"} {
		inboundtest.Ignored(t, decode(), inboundtest.Replace(t, failed, `"reason":"HealthCheckFailed"`, `"reason":"`+reason+`"`), reason)
	}
	inboundtest.Ignored(t, decode(), []byte(`{}`), `involvedObject.kind is ""`)
}

func sign(h http.Header, body []byte) {
	mac := hmac.New(sha256.New, []byte(secretText))
	mac.Write(body)
	h.Set("X-Signature", "sha256="+hex.EncodeToString(mac.Sum(nil)))
}

func newVerifier(t *testing.T) *signer.BodyOnly {
	t.Helper()
	token, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := flux.NewVerifier(token)
	require.NoError(t, err)
	return verifier
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "healthy.json")
	decoder, err := flux.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    newVerifier(t),
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "failed.json"),
		Ignored:     inboundtest.Read(t, "source.json"),
		Invalid:     inboundtest.Replace(t, event, `"timestamp":"2026-03-12T14:22:41Z",`, ``),
		InvalidText: "timestamp is required",
	}.Run(t)
}

// The notification controller's own test has this signature.
func TestVector(t *testing.T) {
	t.Parallel()
	body := inboundtest.Read(t, "source.json")
	r := &http.Request{Header: http.Header{"X-Signature": {"sha256=65b018549b1254e7226d1c08f9567ee45bc9de0fc4e7b1a40253f9a018b08be7"}}}
	_, err := newVerifier(t).Verify(r, body)
	require.NoError(t, err)
	_, err = newVerifier(t).Verify(r, append(body, '\n'))
	require.ErrorIs(t, err, signer.ErrNoMatch)
	for _, other := range []string{"sha512=", "sha224=", ""} {
		r.Header["X-Signature"] = []string{other + "65b018549b1254e7226d1c08f9567ee45bc9de0fc4e7b1a40253f9a018b08be7"}
		_, err = newVerifier(t).Verify(r, body)
		require.ErrorIs(t, err, signer.ErrMalformed, "the message does not choose the algorithm")
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := flux.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = flux.NewDecoder(nil)
	require.ErrorIs(t, err, flux.ErrConfig)
	_, err = flux.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, flux.ErrConfig)
}

func FuzzDecode(f *testing.F) {
	inboundtest.Fuzz(f, decode(withCommit(), flux.WithEnvironment("production")), 8)
}
