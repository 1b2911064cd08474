package netlify_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload/internal/inbound/inboundtest"
	"github.com/deployhook/deployhook/payload/netlify"
	"github.com/deployhook/deployhook/signer"
)

type vector struct{ Name, Signature, Want string }

func vectors(t testing.TB) []vector {
	t.Helper()
	var file struct {
		Secret  string
		Vectors []vector
	}
	require.NoError(t, json.Unmarshal(inboundtest.Read(t, "signed/vectors.json"), &file))
	require.Equal(t, secretText, file.Secret)
	require.Len(t, file.Vectors, 38)
	return file.Vectors
}

func TestVectors(t *testing.T) {
	t.Parallel()
	body := inboundtest.Read(t, "ready.json")
	verifier := newVerifier(t)
	wants := map[string]error{"malformed": signer.ErrMalformed, "no match": signer.ErrNoMatch, "too old": signer.ErrTooOld, "too new": signer.ErrTooNew}
	for _, v := range vectors(t) {
		verified, err := verifier.Verify(request(v.Signature), body)
		if v.Want == "" {
			assert.NoError(t, err, v.Name)
			assert.Equal(t, "key-1", verified.Key)
			_, err = verifier.Verify(request(v.Signature), append(body, '\n'))
			require.ErrorIs(t, err, signer.ErrNoMatch, "another body")
			continue
		}
		require.ErrorIs(t, err, wants[v.Want], v.Name)
		require.ErrorIs(t, err, signer.ErrUnverified, v.Name)
		assert.Equal(t, signer.Verified{}, verified, v.Name)
	}
}

func request(signatures ...string) *http.Request {
	return &http.Request{Header: http.Header{"X-Webhook-Signature": signatures}}
}

func TestVerify_HeaderOnce(t *testing.T) {
	t.Parallel()
	body := inboundtest.Read(t, "ready.json")
	good := vectors(t)[0].Signature
	verifier := newVerifier(t)
	_, err := verifier.Verify(request(good, good), body)
	require.ErrorIs(t, err, signer.ErrMalformed)
	_, err = verifier.Verify(request(), body)
	require.ErrorIs(t, err, signer.ErrMissingHeader)
	assert.True(t, verifier.Present(request(good).Header))
	assert.False(t, verifier.Present(http.Header{}))
}

func TestVerify_Rotation(t *testing.T) {
	t.Parallel()
	body := inboundtest.Read(t, "ready.json")
	good := vectors(t)[0].Signature
	synctest.Test(t, func(t *testing.T) {
		old, err := signer.NewLiteralSecret(secretText)
		require.NoError(t, err)
		verifier, err := netlify.NewVerifier(signer.GenerateLiteralSecret(),
			signer.WithKey(old.Named("old").NotAfter(time.Now().Add(time.Hour))), signer.WithPrincipal("acme"))
		require.NoError(t, err)
		verified, err := verifier.Verify(request(good), body)
		require.NoError(t, err)
		assert.Equal(t, signer.Verified{Principal: "acme", Key: "old"}, verified)
		assert.Equal(t, []string{"acme"}, verifier.Principals())
		assert.False(t, verifier.SignsID())
		time.Sleep(time.Hour + time.Second)
		_, err = verifier.Verify(request(good), body)
		require.ErrorIs(t, err, signer.ErrNoMatch)
	})
}

func TestVerify_NotMade(t *testing.T) {
	t.Parallel()
	for _, s := range []*netlify.Signature{nil, {}} {
		_, err := s.Verify(request("a.b.c"), nil)
		require.ErrorIs(t, err, signer.ErrConfig)
		require.NotErrorIs(t, err, signer.ErrUnverified, "the request may be authentic")
		assert.Empty(t, s.Principals())
	}
}

func TestVerify_HidesSecret(t *testing.T) {
	t.Parallel()
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		assert.NotContains(t, fmt.Sprintf(verb, struct{ s *netlify.Signature }{newVerifier(t)}), secretText)
		assert.Equal(t, "netlify.Signature", fmt.Sprintf(verb, newVerifier(t)))
	}
}

// Nothing but a signature of this body by this secret verifies, and no input
// panics.
func FuzzVerify(f *testing.F) {
	for _, v := range vectors(f) {
		f.Add(v.Signature)
	}
	body := inboundtest.Read(f, "ready.json")
	secret, err := signer.NewLiteralSecret(secretText)
	require.NoError(f, err)
	verifier, err := netlify.NewVerifier(secret)
	require.NoError(f, err)
	accepted := map[string]bool{}
	for _, v := range vectors(f) {
		accepted[v.Signature] = v.Want == ""
	}
	f.Fuzz(func(t *testing.T, signature string) {
		_, err := verifier.Verify(request(signature), body)
		require.Equal(t, accepted[signature], err == nil, "%q: %v", signature, err)
	})
}
