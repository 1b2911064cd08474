package drone_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/leaktest"
	"github.com/deployhook/deployhook/internal/sourcetest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/payload/drone"
	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/signer"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// secretText is the key of Drone's own tests.
const secretText = "xVKAGlWQiY3sOp8JVc0nbuNId3PNCgWh"

func decode(opts ...drone.Option) inboundtest.Decode {
	return func(body []byte) (*payload.Deployment, error) {
		return drone.Decode(context.Background(), body, opts...)
	}
}

func TestGolden(t *testing.T) {
	t.Parallel()
	inboundtest.Golden(t, decode(), "created")
	inboundtest.Golden(t, decode(), "success")
	inboundtest.Golden(t, decode(), "rollback")
}

func TestEveryStatus(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	for status, want := range map[string]payload.Status{
		"blocked":                 payload.StatusPending,
		"pending":                 payload.StatusPending,
		"waiting_on_dependencies": payload.StatusPending,
		"running":                 payload.StatusInProgress,
		"success":                 payload.StatusSuccess,
		"failure":                 payload.StatusFailure,
		"error":                   payload.StatusFailure,
		"killed":                  payload.StatusCancelled,
		"declined":                payload.StatusCancelled,
		"skipped":                 payload.StatusCancelled,
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"success"`, `"`+status+`"`))
		require.NoError(t, err, status)
		assert.Equal(t, want, d.Status, status)
		assert.Equal(t, status, inboundtest.Meta(d, "originalStatus"))
		assert.Equal(t, want.Terminal(), !d.CompletedAt.IsZero(), status)
	}
}

func TestPipelineURL(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	for link, want := range map[string]string{
		`"https://drone.example.com"`:  "https://drone.example.com/acme/checkout/42",
		`"https://drone.example.com/"`: "https://drone.example.com/acme/checkout/42",
		`"javascript:alert(1)"`:        "",
		`null`:                         "",
	} {
		d, err := decode()(inboundtest.Replace(t, event, `"action":"updated"`, `"action":"updated","system":{"link":`+link+`}`))
		require.NoError(t, err)
		assert.Equal(t, want, d.PipelineURL)
	}
}

func TestInvalid(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	for _, c := range []struct{ old, replacement, want string }{
		{`"status":"success"`, `"status":"passing"`, `build.status must be one of: blocked, declined, error, failure, killed, pending, running, skipped, success, waiting_on_dependencies`},
		{`"deploy_to":"production",`, ``, `build.deploy_to is required`},
		{`"started":1773325325`, `"started":-1`, `build.started must be seconds since 1970, an integer`},
		{`"started":1773325325`, `"started":"2026"`, `build.started must be seconds since 1970, an integer`},
		{`"started":1773325325`, `"started":253402300800`, `build.started must be seconds since 1970, an integer`},
		{`"after":"f4c8e2a91b3d5f7086a2c4e6d8f0b1a3c5e7d9f1"`, `"after":""`, `build.after is required`},
	} {
		inboundtest.Invalid(t, decode(), inboundtest.Replace(t, event, c.old, c.replacement), c.want)
	}
	inboundtest.Strict(t, decode(), event)
}

func TestIgnored(t *testing.T) {
	t.Parallel()
	inboundtest.Ignored(t, decode(), inboundtest.Read(t, "push.json"), `drone: not a deployment event: build.event is "push"`)
	inboundtest.Ignored(t, decode(), []byte(`{"event":"user","action":"created","user":{"login":"octocat"}}`), `there is no build`)
	inboundtest.Ignored(t, decode(), []byte(`{"build":{"event":"custom","deploy_to":"production"}}`), `"custom"`)
}

// sign signs the headers that the server signs.
func sign(h http.Header, body []byte) { signAt(h, body, time.Now(), secretText) }

func signAt(h http.Header, body []byte, at time.Time, key string) {
	sum := sha256.Sum256(body)
	date, digest := at.UTC().Format(http.TimeFormat), "SHA-256="+base64.StdEncoding.EncodeToString(sum[:])
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte("date: " + date + "\ndigest: " + digest))
	h.Set("Date", date)
	h.Set("Digest", digest)
	h.Set("Signature", `keyId="hmac-key",algorithm="hmac-sha256",signature="`+base64.StdEncoding.EncodeToString(mac.Sum(nil))+`",headers="date digest"`)
}

func newVerifier(t testing.TB, opts ...signer.Option) *drone.Signature {
	t.Helper()
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	verifier, err := drone.NewVerifier(secret, opts...)
	require.NoError(t, err)
	return verifier
}

func TestEndToEnd(t *testing.T) {
	t.Parallel()
	event := inboundtest.Read(t, "success.json")
	decoder, err := drone.NewDecoder()
	require.NoError(t, err)
	sourcetest.EndToEnd{
		Verifier:    newVerifier(t),
		Decode:      decoder,
		Sign:        sign,
		Event:       event,
		Other:       inboundtest.Read(t, "rollback.json"),
		Ignored:     inboundtest.Read(t, "push.json"),
		Invalid:     inboundtest.Replace(t, event, `"deploy_to":"production",`, ``),
		InvalidText: "build.deploy_to is required",
	}.Run(t)
}

func TestConfiguration(t *testing.T) {
	t.Parallel()
	_, err := drone.NewVerifier(signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = drone.NewDecoder(nil)
	require.ErrorIs(t, err, drone.ErrConfig)
	_, err = drone.Decode(t.Context(), []byte(`{}`), nil)
	require.ErrorIs(t, err, drone.ErrConfig)
}

func FuzzDecode(f *testing.F) { inboundtest.Fuzz(f, decode(), 4) }
