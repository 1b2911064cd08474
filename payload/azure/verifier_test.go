package azure_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/payload/azure"
	"github.com/deployhook/deployhook/signer"
)

func verify(v signer.Verifier, values ...string) (signer.Verified, error) {
	return v.Verify(&http.Request{Header: http.Header{"Authorization": values}}, nil)
}

func TestBasic(t *testing.T) {
	t.Parallel()
	password, err := signer.NewLiteralSecret(secretText)
	require.NoError(t, err)
	v, err := azure.NewVerifier("me", password.Named("2026"), signer.WithPrincipal("fabrikam"))
	require.NoError(t, err)

	good := credential("me:" + secretText)
	for _, value := range []string{good, "basic" + good[5:], "BASIC" + good[5:]} {
		verified, err := verify(v, value)
		require.NoError(t, err)
		assert.Equal(t, signer.Verified{Principal: "fabrikam", Key: "2026"}, verified)
	}
	for name, values := range map[string][]string{
		"none":           {},
		"twice":          {good, good},
		"empty":          {""},
		"bearer":         {"Bearer " + secretText},
		"no blank":       {"Basic"},
		"not base64":     {"Basic %%%"},
		"unpadded":       {strings.TrimRight(credential("me:"+secretText+"x"), "=")},
		"line end":       {good + "\n"},
		"blanks alone":   {"Basic   "},
		"no colon":       {credential("me" + secretText)},
		"no user":        {credential(":" + secretText)},
		"other user":     {credential("you:" + secretText)},
		"user's case":    {credential("Me:" + secretText)},
		"no password":    {credential("me:")},
		"other password": {credential("me:" + secretText + "x")},
		"prefix":         {credential("me:" + secretText[:len(secretText)-1])},
		// the same HMAC key
		"NUL":      {credential("me:" + secretText + "\x00")},
		"too long": {credential("me:" + strings.Repeat("x", 8<<10))},
		"a MAC":    {"sha256=" + strings.Repeat("0", 64)},
	} {
		_, err := verify(v, values...)
		require.ErrorIs(t, err, signer.ErrInvalidAPIKey, name)
		assert.NotContains(t, err.Error(), secretText)
		assert.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte(secretText)))
	}
	_, err = verify(v, "Basic   "+good[6:])
	require.NoError(t, err, "several blanks are one")
	assert.True(t, v.Present(http.Header{"Authorization": {good}}))
	assert.False(t, v.Present(http.Header{"Authorization": {"Bearer x"}}))
	assert.False(t, v.Present(http.Header{}))
	assert.False(t, v.SignsID())
	assert.Equal(t, "azure.Basic azure.Basic azure.Basic", fmt.Sprintf("%v %+v %#v", v, v, v))
}

func TestBasicRotation(t *testing.T) {
	t.Parallel()
	current, previous := signer.GenerateLiteralSecret(), signer.GenerateLiteralSecret()
	v, err := azure.NewVerifier("me", current, signer.WithKey(previous))
	require.NoError(t, err)
	verified, err := verify(v, credential("me:"+previous.Reveal()))
	require.NoError(t, err)
	assert.Equal(t, "key-2", verified.Key)

	v, err = azure.NewVerifier("me", current, signer.WithKey(previous.NotAfter(time.Now().Add(-time.Second))))
	require.NoError(t, err)
	_, err = verify(v, credential("me:"+previous.Reveal()))
	require.ErrorIs(t, err, signer.ErrInvalidAPIKey, "an expired password is refused")
	_, err = verify(v, credential("me:"+current.Reveal()))
	require.NoError(t, err)
}

func TestBasicConfiguration(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a:b", "a\n", "\x7f"} {
		_, err := azure.NewVerifier(name, signer.GenerateLiteralSecret())
		require.ErrorIs(t, err, azure.ErrConfig, "%q", name)
	}
	_, err := azure.NewVerifier("me", signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = azure.NewVerifier("me", signer.GenerateSecret())
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = azure.NewVerifier("me", signer.GenerateLiteralSecret(), signer.WithTolerance(time.Minute))
	require.ErrorIs(t, err, signer.ErrConfig)
}

// The error of a verifier that NewVerifier did not create names that mistake
// instead of blaming the request.
func TestVerifier_NilAndZero(t *testing.T) {
	t.Parallel()
	for _, v := range []*azure.Basic{nil, {}} {
		_, err := v.Verify(httptest.NewRequest(http.MethodPost, "/", nil), nil)
		require.ErrorIs(t, err, signer.ErrConfig)
		require.NotErrorIs(t, err, signer.ErrUnverified)
		require.Empty(t, v.Principals())
	}
}
