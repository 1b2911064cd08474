package outbox_test

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/sender/outbox"
	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// signedRequest is a request as a customer's server got it.
type signedRequest struct {
	*http.Request
	body []byte
}

// httpsigServer passes on every request.
func httpsigServer(t testing.TB) (url string, requests chan signedRequest) {
	t.Helper()
	requests = make(chan signedRequest, 16)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		requests <- signedRequest{r.Clone(context.WithoutCancel(r.Context())), body}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/deploy?env=prod&app=h%C3%A9", requests
}

// verifyByHand checks a signature with the RFC's text and the standard library
// alone. The request was sent to url.
func verifyByHand(t testing.TB, r signedRequest, url, label, jwk string) {
	t.Helper()
	var key struct{ Kid, X, Kty, Crv, Use string }
	require.NoError(t, json.Unmarshal([]byte(jwk), &key))
	require.Equal(t, []string{"OKP", "Ed25519", "sig"}, []string{key.Kty, key.Crv, key.Use})
	public, err := base64.RawURLEncoding.DecodeString(key.X)
	require.NoError(t, err)
	thumbprint := sha256.Sum256([]byte(`{"crv":"Ed25519","kty":"OKP","x":"` + key.X + `"}`))
	require.Equal(t, base64.RawURLEncoding.EncodeToString(thumbprint[:]), key.Kid)

	input := regexp.MustCompile(label + `=(\([^)]*\);created=\d+;keyid="([^"]*)")`).FindStringSubmatch(r.Header.Get("Signature-Input"))
	require.NotNil(t, input, r.Header.Get("Signature-Input"))
	require.Equal(t, key.Kid, input[2])
	value := regexp.MustCompile(label + `=:([^:]*):`).FindStringSubmatch(r.Header.Get("Signature"))
	require.NotNil(t, value)
	signature, err := base64.StdEncoding.DecodeString(value[1])
	require.NoError(t, err)
	digest := sha256.Sum256(r.body)
	base := fmt.Sprintf("\"@method\": POST\n\"@target-uri\": %s\n\"content-type\": application/json\n\"content-digest\": sha-256=:%s:\n\"webhook-id\": %s\n\"@signature-params\": %s",
		url, base64.StdEncoding.EncodeToString(digest[:]), r.Header.Get("Webhook-Id"), input[1])
	require.True(t, ed25519.Verify(public, []byte(base), signature), base)
}

func webKeyScheme(t testing.TB, jwk outbox.Secret) *httpsig.Scheme {
	t.Helper()
	key, err := httpsig.ParseJWK(jwk.Reveal())
	require.NoError(t, err)
	scheme, err := httpsig.New(key)
	require.NoError(t, err)
	return scheme
}

// A customer verifies with the JSON Web Key alone. The signature also covers
// the URL.
func TestHTTPSig_Verifies(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		url, requests := httpsigServer(t)
		c := endpointAt(url)
		c.Scheme = outbox.SchemeHTTPSig
		e, jwk := create(t, o.App("shop"), c)
		require.Equal(t, outbox.SchemeHTTPSig, e.Scheme)
		p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
		settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
		r := <-requests
		verified, err := webKeyScheme(t, jwk).Verify(r.Request, r.body)
		require.NoError(t, err)
		require.Equal(t, p.Deliveries[0].ID, verified.ID)
		verifyByHand(t, r, url, "sig1", jwk.Reveal())
		r.RequestURI, r.URL.RawQuery = "/deploy?env=test", "env=test"
		_, err = webKeyScheme(t, jwk).Verify(r.Request, r.body)
		require.ErrorIs(t, err, signer.ErrNoMatch)

		attempts, err := o.App("shop").Attempts(t.Context(), p.Deliveries[0].ID)
		require.NoError(t, err)
		require.Equal(t, r.Header.Get("Signature-Input"), attempts[0].RequestHeader.Get("Signature-Input"), "the log proves what was signed")
	})
}

// During the grace period, deliveries have signatures by both keys, the old one
// first. After it, they have one.
func TestHTTPSig_Rotation(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.start(t)
		url, requests := httpsigServer(t)
		c := endpointAt(url)
		c.Scheme = outbox.SchemeHTTPSig
		e, first := create(t, o.App("shop"), c)
		deliver := func() signedRequest {
			p := publish(t, o.App("shop"), event(payload.DeployLive, "dep_1"))
			settled(t, o, p.Deliveries[0].ID, outbox.Delivered)
			return <-requests
		}
		require.Equal(t, 1, strings.Count(deliver().Header.Get("Signature-Input"), "created="))
		second, err := o.App("shop").RotateSecret(t.Context(), e.ID, "", time.Hour)
		require.NoError(t, err)
		require.NotEqual(t, first.Reveal(), second.Reveal())
		r := deliver()
		verifyByHand(t, r, url, "sig1", first.Reveal())
		verifyByHand(t, r, url, "sig2", second.Reveal())
		for _, jwk := range []outbox.Secret{first, second} {
			_, err := webKeyScheme(t, jwk).Verify(r.Request, r.body)
			require.NoError(t, err)
		}

		third, err := o.App("shop").RotateSecret(t.Context(), e.ID, "", 0)
		require.NoError(t, err)
		r = deliver()
		require.Equal(t, 1, strings.Count(r.Header.Get("Signature-Input"), "created="))
		_, err = webKeyScheme(t, third).Verify(r.Request, r.body)
		require.NoError(t, err)
		_, err = webKeyScheme(t, second).Verify(r.Request, r.body)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}

// A platform may bring its own key. Everything else is refused, and no error
// shows a key.
func TestHTTPSig_Settings(t *testing.T) {
	t.Parallel()
	onEach(t, func(t *testing.T, w *world) {
		o := w.open(t)
		own := signer.GenerateSigningKey()
		c := endpointAt("http://127.0.0.1:1/own")
		c.Scheme, c.Secret = outbox.SchemeHTTPSig, outbox.NewSecret(own.Reveal())
		e, jwk := create(t, o.App("shop"), c)
		id, err := httpsig.Thumbprint(own.VerifyingKey())
		require.NoError(t, err)
		require.Contains(t, jwk.Reveal(), `"kid":"`+id+`"`)
		require.NotContains(t, jwk.Reveal(), `"d"`)
		_, err = o.App("shop").RotateSecret(t.Context(), e.ID, own.Reveal(), time.Hour)
		require.ErrorIs(t, err, outbox.ErrInvalid)

		for name, change := range map[string]func(c *outbox.EndpointConfig){
			"SignatureHeader": func(c *outbox.EndpointConfig) { c.SignatureHeader = "X-Signature" },
			"Secret": func(c *outbox.EndpointConfig) {
				c.Secret = outbox.NewSecret(signer.GenerateSecret().Reveal())
			},
		} {
			c := endpointAt("http://127.0.0.1:1/" + name)
			c.Scheme = outbox.SchemeHTTPSig
			change(&c)
			_, _, err := o.App("shop").CreateEndpoint(t.Context(), c)
			var fault *outbox.FieldError
			require.ErrorAs(t, err, &fault)
			require.Equal(t, name, fault.Field)
			require.NotContains(t, err.Error(), cmp.Or(c.Secret.Reveal(), "whs"))
			require.NotEqual(t, "invalid", outbox.Problems(err)[0].Code)
		}
	})
}
