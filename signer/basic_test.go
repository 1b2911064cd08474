package signer_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/signer"
)

const basicPassword = "basic-auth-password-1"

func credential(text string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(text))
}

func verifyBasic(v signer.Verifier, values ...string) (signer.Verified, error) {
	return v.Verify(&http.Request{Header: http.Header{"Authorization": values}}, nil)
}

func TestBasic(t *testing.T) {
	t.Parallel()
	password, err := signer.NewLiteralSecret(basicPassword)
	require.NoError(t, err)
	v, err := signer.NewBasic("me", password.Named("2026"), signer.WithPrincipal("fabrikam"))
	require.NoError(t, err)

	good := credential("me:" + basicPassword)
	for _, value := range []string{good, "basic" + good[5:], "BASIC" + good[5:]} {
		verified, err := verifyBasic(v, value)
		require.NoError(t, err)
		assert.Equal(t, signer.Verified{Principal: "fabrikam", Key: "2026"}, verified)
	}
	for name, values := range map[string][]string{
		"none":           {},
		"twice":          {good, good},
		"empty":          {""},
		"bearer":         {"Bearer " + basicPassword},
		"no blank":       {"Basic"},
		"not base64":     {"Basic %%%"},
		"unpadded":       {strings.TrimRight(credential("me:"+basicPassword+"x"), "=")},
		"line end":       {good + "\n"},
		"blanks alone":   {"Basic   "},
		"no colon":       {credential("me" + basicPassword)},
		"no user":        {credential(":" + basicPassword)},
		"other user":     {credential("you:" + basicPassword)},
		"user's case":    {credential("Me:" + basicPassword)},
		"no password":    {credential("me:")},
		"other password": {credential("me:" + basicPassword + "x")},
		"prefix":         {credential("me:" + basicPassword[:len(basicPassword)-1])},
		// the same HMAC key
		"NUL":      {credential("me:" + basicPassword + "\x00")},
		"too long": {credential("me:" + strings.Repeat("x", 8<<10))},
		"a MAC":    {"sha256=" + strings.Repeat("0", 64)},
	} {
		_, err := verifyBasic(v, values...)
		require.ErrorIs(t, err, signer.ErrInvalidAPIKey, name)
		assert.NotContains(t, err.Error(), basicPassword)
		assert.NotContains(t, err.Error(), base64.StdEncoding.EncodeToString([]byte(basicPassword)))
	}
	_, err = verifyBasic(v, "Basic   "+good[6:])
	require.NoError(t, err, "several blanks are one")
	assert.True(t, v.Present(http.Header{"Authorization": {good}}))
	assert.False(t, v.Present(http.Header{"Authorization": {"Bearer x"}}))
	assert.False(t, v.Present(http.Header{}))
	assert.False(t, v.SignsID())
	assert.Equal(t, "signer.Basic signer.Basic signer.Basic", fmt.Sprintf("%v %+v %#v", v, v, v))
}

func TestBasic_Rotation(t *testing.T) {
	t.Parallel()
	current, previous := signer.GenerateLiteralSecret(), signer.GenerateLiteralSecret()
	v, err := signer.NewBasic("me", current, signer.WithKey(previous))
	require.NoError(t, err)
	verified, err := verifyBasic(v, credential("me:"+previous.Reveal()))
	require.NoError(t, err)
	assert.Equal(t, "key-2", verified.Key)

	v, err = signer.NewBasic("me", current, signer.WithKey(previous.NotAfter(time.Now().Add(-time.Second))))
	require.NoError(t, err)
	_, err = verifyBasic(v, credential("me:"+previous.Reveal()))
	require.ErrorIs(t, err, signer.ErrInvalidAPIKey, "an expired password is refused")
	_, err = verifyBasic(v, credential("me:"+current.Reveal()))
	require.NoError(t, err)
}

func TestBasic_Configuration(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"", "a:b", "a\n", "\x7f"} {
		_, err := signer.NewBasic(name, signer.GenerateLiteralSecret())
		require.ErrorIs(t, err, signer.ErrConfig, "%q", name)
	}
	_, err := signer.NewBasic("me", signer.Secret{})
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = signer.NewBasic("me", signer.GenerateSecret())
	require.ErrorIs(t, err, signer.ErrConfig)
	_, err = signer.NewBasic("me", signer.GenerateLiteralSecret(), signer.WithTolerance(time.Minute))
	require.ErrorIs(t, err, signer.ErrConfig)
}

// Only the canonical base64 of the user name and the password verifies, apart
// from the letter case of "Basic" and the number of blanks.
func FuzzBasicHeader(f *testing.F) {
	seeds.Add(f, 10)
	password, err := signer.NewLiteralSecret(basicPassword)
	require.NoError(f, err)
	v, err := signer.NewBasic("me", password)
	require.NoError(f, err)
	encoded := strings.TrimPrefix(credential("me:"+basicPassword), "Basic ")
	f.Fuzz(func(t *testing.T, value string) {
		scheme, rest, _ := strings.Cut(value, " ")
		same := strings.EqualFold(scheme, "basic") && strings.TrimLeft(rest, " ") == encoded
		verified, err := verifyBasic(v, value)
		require.Equal(t, same, err == nil, "%q: %v", value, err)
		if err != nil {
			require.ErrorIs(t, err, signer.ErrInvalidAPIKey)
			require.Equal(t, signer.Verified{}, verified)
		}
		// What follows a password is part of it.
		_, err = verifyBasic(v, credential("me:"+basicPassword+value))
		require.Equal(t, value == "", err == nil)
	})
}
