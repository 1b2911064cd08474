package signer_test

import (
	"encoding/base64"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// The table has what a receiver and a log learn about each scheme.
func TestSchemes_SayWhatTheyAre(t *testing.T) {
	t.Parallel()
	key := signer.GenerateLiteralSecret()
	minute := signer.WithTolerance(time.Minute)
	strong := standard(t, signer.GenerateSecret(), minute)
	hexes := timestamped(t, key)
	for _, c := range []struct {
		scheme    signer.Scheme
		name      string
		header    string
		signsID   bool
		tolerance time.Duration // zero: the scheme has none
	}{
		{strong, "signer.Standard", "Webhook-Signature", true, time.Minute},
		{timestamped(t, key, minute), "signer.Timestamped", "X-Webhook-Signature", false, time.Minute},
		{must[*signer.Stripe](t)(signer.NewStripe(key, minute)), "signer.Stripe", "Stripe-Signature", false, time.Minute},
		{must[*signer.BodyOnly](t)(signer.NewGitHub(key)), "signer.GitHub", "X-Hub-Signature-256", false, 0},
		{must[*signer.BodyOnly](t)(signer.NewBodyOnly(key, vercelOptions()...)), "signer.BodyOnly", "X-Vercel-Signature", false, 0},
		{apiKeys(t, "acme"), "signer.APIKeys", "Authorization", false, 0},
		{must[*signer.APIKeys](t)(signer.NewGitLabToken(key, "acme")), "signer.GitLabToken", "X-Gitlab-Token", false, 0},
		{must[*signer.Any](t)(signer.AnyOf(strong, standard(t, signer.GenerateSecret()))), "", "Webhook-Signature", true, signer.DefaultTolerance},
		{must[*signer.Any](t)(signer.AnyOf(strong, hexes)), "", "X-Webhook-Signature", false, signer.DefaultTolerance},
	} {
		name := c.name + " with " + c.header
		if c.name != "" {
			require.Equal(t, c.name, fmt.Sprint(c.scheme))
		}
		require.True(t, c.scheme.Present(http.Header{c.header: {"x"}}), name)
		require.False(t, c.scheme.Present(http.Header{c.header: nil, "X-Other": {"x"}}), name)
		require.Equal(t, c.signsID, c.scheme.SignsID(), name)
		timed, ok := c.scheme.(interface{ Tolerance() time.Duration })
		require.Equal(t, c.tolerance != 0, ok, name)
		if ok {
			require.Equal(t, c.tolerance, timed.Tolerance(), name)
		}
	}
	bearer := must[*signer.Bearer](t)(signer.NewBearer(key))
	require.Equal(t, "signer.Bearer", fmt.Sprint(bearer))
	require.True(t, bearer.CarriesCredential(), "a sender hides the headers")
}

// A verifier of several schemes may itself be one of several.
func TestAnyOf_Nested(t *testing.T) {
	t.Parallel()
	first, second := standard(t, signer.GenerateSecret()), timestamped(t, signer.GenerateLiteralSecret())
	third := must[*signer.Stripe](t)(signer.NewStripe(signer.GenerateLiteralSecret()))
	inner := must[*signer.Any](t)(signer.AnyOf(first, second))
	outer := must[*signer.Any](t)(signer.AnyOf(inner, third))
	for _, s := range []signer.Signer{first, second, third} {
		_, err := outer.Verify(signed(t, s, "whk_1", time.Now(), nil), nil)
		require.NoError(t, err, "%v", s)
	}
}

// The methods that programs call themselves redact like those that package fmt
// calls.
func TestRedactedForms(t *testing.T) {
	t.Parallel()
	type redacting interface {
		fmt.Stringer
		fmt.GoStringer
		slog.LogValuer
		MarshalText() ([]byte, error)
	}
	for form, key := range map[string]redacting{
		"whsec_[redacted]": signer.GenerateSecret(),
		"[redacted]":       signer.GenerateLiteralSecret(),
		"whsk_[redacted]":  signer.GenerateSigningKey(),
	} {
		text, err := key.MarshalText()
		require.NoError(t, err)
		require.Equal(t, form, string(text))
		require.Equal(t, form, key.String())
		require.Equal(t, form, key.LogValue().String())
		require.Regexp(t, `^signer\.\w+\(`+strings.NewReplacer("[", `\[`, "]", `\]`).Replace(form)+`\)$`, key.GoString())
		for _, verb := range []string{"%v", "%+v", "%s", "%q", "%x", "%#x"} {
			require.Equal(t, form, fmt.Sprintf(verb, key), verb)
		}
	}
	require.Equal(t, "signer.Secret(whsec_[redacted])", fmt.Sprintf("%#v", signer.GenerateSecret()))
	require.Equal(t, "signer.Secret([redacted])", fmt.Sprintf("%#v", signer.GenerateLiteralSecret()))
}

func TestGenerateSecret_Has32Bytes(t *testing.T) {
	t.Parallel()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(signer.GenerateSecret().Reveal(), "whsec_"))
	require.NoError(t, err)
	require.Len(t, key, 32)
}

// A verifying key has a name too, and Verified returns it.
func TestVerifyingKey_Named(t *testing.T) {
	t.Parallel()
	pair := signer.GenerateSigningKey()
	r := signed(t, standard(t, pair), "whk_1", time.Now(), nil)
	got, err := standard(t, pair.VerifyingKey().Named("theirs")).Verify(r, nil)
	require.NoError(t, err)
	require.Equal(t, "theirs", got.Key)
}
