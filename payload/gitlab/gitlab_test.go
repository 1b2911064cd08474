package gitlab_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/gitlab"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

const (
	tokenText = "gitlab-webhook-token-1"
	key       = "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" // 32 bytes
)

var signingText = "whsec_" + base64.StdEncoding.EncodeToString([]byte(key))

func decode(opts ...gitlab.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return gitlab.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "success")
	inboundtest.Golden(t, decode(), "running_old")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	at := time.Date(2021, 4, 28, 19, 50, 0, 0, time.UTC)
	for status, want := range map[string]payload.Status{
		"created":  payload.StatusPending,
		"blocked":  payload.StatusPending,
		"running":  payload.StatusInProgress,
		"success":  payload.StatusSuccess,
		"failed":   payload.StatusFailure,
		"canceled": payload.StatusCancelled,
		"skipped":  payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"status": "success"`, `"status": "`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, at, d.StartedAt)
		if want.Terminal() {
			assert.Equal(t, at, d.CompletedAt)
			assert.Equal(t, "true", inboundtest.Meta(d, "startedAtUnknown"), "and the metadata says so")
		} else {
			assert.True(t, d.CompletedAt.IsZero())
			assert.Empty(t, inboundtest.Meta(d, "startedAtUnknown"))
		}
	}
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "push.json"), `gitlab: not a deployment event: object_kind is "push"`)
	for body, want := range map[string]string{
		`{}`:                              `""`,
		`{"object_kind":null}`:            `""`,
		`{"object_kind":"pipeline"}`:      `"pipeline"`,
		`{"object_kind":"build"}`:         `"build"`,
		`{"object_kind":"Deployment"}`:    `"Deployment"`,
		`{"event_name":"project_create"}`: `""`,
	} {
		inboundtest.Ignored(t, decode(), []byte(body), want)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	const commit = `"commit_url": "https://gitlab.example.com/acme/shop/-/commit/279484c09fbe69ededfced8c1bb6e6d24616b468"`
	for _, c := range []struct{ old, replacement, want string }{
		{`"deployment_id": 15,`, ``, "deployment_id is required"},
		{`"deployment_id": 15,`, `"deployment_id": {},`, "deployment_id must be a string or an integer"},
		{`"status": "success",`, ``, "status is required"},
		{
			`"status": "success",`, `"status": "manual",`,
			"status must be one of: blocked, canceled, created, failed, running, skipped, success",
		},
		{`2021-04-28 21:50:00 +0200`, `2021-02-30 21:50:00 +0200`, "status_changed_at must be a valid ISO 8601 date"},
		{`"2021-04-28 21:50:00 +0200"`, `null`, "status_changed_at is required"},
		{`"2021-04-28 21:50:00 +0200"`, `1619639400`, "status_changed_at must be a string"},
		{`"environment": "staging",`, `"environment": "",`, "environment is required"},
		{commit, `"commit_url": 1`, "commit_url must be a string"},
	} {
		d, err := decode()(inboundtest.Replace(t, event, c.old, c.replacement))
		require.ErrorIs(t, err, payload.ErrInvalid, c.want)
		assert.Nil(t, d)
		assert.ErrorContains(t, err, c.want)
	}
	without := inboundtest.Replace(t, event, commit, `"commit_url": null`)
	d, err := decode()(without)
	require.NoError(t, err)
	assert.Equal(t, "279484c0", d.CommitSHA, "the short one is better than none")
	inboundtest.Invalid(t, decode(), inboundtest.Replace(t, without, `"short_sha": "279484c0"`, `"short_sha": null`),
		"short_sha is required")
	inboundtest.Invalid(t, decode(), inboundtest.Replace(t, without, `"short_sha": "279484c0"`, `"short_sha": "HEAD"`),
		"short_sha must be a valid hex string (5-40 characters)")
	inboundtest.Strict(t, decode(), event)
}

func TestRefs(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	for ref, want := range map[string]string{
		"feature/a":                  "feature/a",
		"v2.0.1":                     "",
		"refs/merge-requests/3/head": "",
		"refs/heads/main":            "main",
		"279484c09fbe69ededfced8c1bb6e6d24616b468": "",
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"ref": "master"`, `"ref": "`+ref+`"`))
		require.NoError(t, err)
		assert.Equal(t, want, d.Branch, ref)
	}
}

func signStandard(h http.Header, body []byte) {
	sum := sha256.Sum256(body)
	// an ID for each event
	id, at := hex.EncodeToString(sum[:8]), strconv.FormatInt(time.Now().Unix(), 10)
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(id + "." + at + "."))
	mac.Write(body)
	h.Set("webhook-id", id)
	h.Set("webhook-timestamp", at)
	h.Set("webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	h.Set("X-Gitlab-Event", "Push Hook") // not signed, so it does not matter
}

func signToken(h http.Header, _ []byte) {
	h.Set("X-Gitlab-Token", tokenText)
	// not signed, so it is not used for deduplication
	h.Set("Idempotency-Key", "always the same")
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	signing, err := signer.ParseSecret(signingText)
	require.NoError(t, err)
	token, err := signer.NewLiteralSecret(tokenText)
	require.NoError(t, err)
	const unknownKey = `{"error":"Invalid or missing API key"}`
	wrongToken := func(h http.Header, _ []byte) { h.Set("X-Gitlab-Token", tokenText+"x") }
	for name, c := range map[string]struct {
		secrets      gitlab.Secrets
		sign, forge  func(http.Header, []byte)
		unauthorized string
	}{
		"signing token":        {gitlab.Secrets{SigningToken: signing}, signStandard, nil, ""},
		"token":                {gitlab.Secrets{Token: token}, signToken, wrongToken, unknownKey},
		"both, signed":         {gitlab.Secrets{SigningToken: signing, Token: token}, signStandard, nil, ""},
		"both, only the token": {gitlab.Secrets{SigningToken: signing, Token: token}, signToken, wrongToken, ""},
		"both, a bad signature decides": {
			gitlab.Secrets{SigningToken: signing, Token: token},
			signStandard,
			func(h http.Header, body []byte) { signStandard(h, append(body, ' ')); signToken(h, body) }, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			event := inboundtest.Read(t, "success.json")
			verifier, err := gitlab.NewVerifier(c.secrets)
			require.NoError(t, err)
			decoder, err := gitlab.NewDecoder()
			require.NoError(t, err)
			sourcetest.EndToEnd{
				Verifier:     verifier,
				Decode:       decoder,
				Sign:         c.sign,
				Forge:        c.forge,
				Unauthorized: c.unauthorized,
				Event:        event,
				Other:        inboundtest.Read(t, "running_old.json"),
				Ignored:      inboundtest.Read(t, "push.json"),
				Invalid:      inboundtest.Replace(t, event, `"status": "success",`, ``),
				InvalidText:  "status is required",
			}.Run(t)
		})
	}
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := gitlab.NewVerifier(gitlab.Secrets{})
	require.ErrorIs(t, err, gitlab.ErrConfig)
	_, err = gitlab.NewVerifier(gitlab.Secrets{SigningToken: signer.GenerateLiteralSecret()})
	require.ErrorIs(t, err, signer.ErrConfig, "one kind of secret is not the other")
	_, err = gitlab.NewVerifier(gitlab.Secrets{Token: signer.GenerateSecret()})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = gitlab.NewDecoder(nil)
	require.ErrorIs(t, err, gitlab.ErrConfig)
	_, err = gitlab.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, gitlab.ErrConfig)
}

func TestComplete(t *testing.T) {
	t.Parallel()
	d, err := decode(gitlab.WithComplete(func(_ context.Context, d *payload.Deployment) error {
		d.PreviousCommitSHA = "95790bf8"
		return nil
	}))(inboundtest.Read(t, "success.json"))
	require.NoError(t, err)
	assert.Equal(t, "95790bf8", d.PreviousCommitSHA)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 5) }

func TestSHA256Commit(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("279484c09fbe69ed", 4)
	d, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "success.json"), "279484c09fbe69ededfced8c1bb6e6d24616b468", whole))
	require.NoError(t, err)
	assert.Equal(t, whole[:40], d.CommitSHA, "and not the short one")
	assert.Equal(t, whole, inboundtest.Meta(d, "commit_sha256"))
}

// A member that only informs people never makes the record invalid.
func TestInformingMembersOfAnotherKind(t *testing.T) {
	t.Parallel()
	d, err := decode()(inboundtest.Replace(t, inboundtest.Read(t, "success.json"), `"user": {`, `"user": "root", "was_user": {`))
	require.NoError(t, err)
	assert.Empty(t, d.TriggeredBy)
}
