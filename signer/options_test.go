package signer_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
)

// Each constructor takes the options that its documentation lists, and refuses
// every other one by its name.
func TestOptions_OfEachScheme(t *testing.T) {
	t.Parallel()
	std, lit := signer.GenerateSecret(), signer.GenerateLiteralSecret()
	options := map[string]signer.Option{
		"WithKey":             signer.WithKey(signer.GenerateLiteralSecret()),
		"WithTolerance":       signer.WithTolerance(time.Minute),
		"WithPrincipal":       signer.WithPrincipal("acme"),
		"WithHeaderPrefix":    signer.WithHeaderPrefix("X-Acme"),
		"WithHeader":          signer.WithHeader("X-Acme"),
		"WithSignaturePrefix": signer.WithSignaturePrefix("v1="),
		"WithBase64":          signer.WithBase64(),
		"WithSignatureList":   signer.WithSignatureList(),
		"InsecureSHA1":        signer.InsecureSHA1(),
		"WithFieldNames":      signer.WithFieldNames("time", "mac"),
		"WithoutDiagnosis":    signer.WithoutDiagnosis(),
		"InsecureAt":          signer.InsecureAt(time.Now()),
	}
	hash := must[signer.APIKeyHash](t)(signer.HashAPIKey("0123456789abcdef"))
	for scheme, c := range map[string]struct {
		build func(...signer.Option) error
		takes []string
	}{
		"Standard": {
			func(opts ...signer.Option) error { _, err := signer.NewStandard(std, opts...); return err },
			[]string{"WithTolerance", "WithPrincipal", "WithHeaderPrefix", "WithoutDiagnosis", "InsecureAt"},
		},
		"Timestamped": {
			func(opts ...signer.Option) error { _, err := signer.NewTimestamped(lit, opts...); return err },
			[]string{"WithKey", "WithTolerance", "WithPrincipal", "WithHeaderPrefix", "WithSignaturePrefix", "WithoutDiagnosis", "InsecureAt"},
		},
		"Stripe": {
			func(opts ...signer.Option) error { _, err := signer.NewStripe(lit, opts...); return err },
			[]string{"WithKey", "WithTolerance", "WithPrincipal", "WithHeader", "WithFieldNames", "WithoutDiagnosis", "InsecureAt"},
		},
		"GitHub": {
			func(opts ...signer.Option) error { _, err := signer.NewGitHub(lit, opts...); return err },
			[]string{"WithKey", "WithPrincipal", "WithHeader", "WithoutDiagnosis", "InsecureAt"},
		},
		"BodyOnly": {
			func(opts ...signer.Option) error {
				_, err := signer.NewBodyOnly(lit, append(opts, signer.WithHeader("X-Acme"), signer.WithSignaturePrefix("v1="))...)
				return err
			},
			[]string{"WithKey", "WithPrincipal", "WithHeader", "WithSignaturePrefix", "WithBase64", "WithSignatureList", "InsecureSHA1", "WithoutDiagnosis", "InsecureAt"},
		},
		"APIKeys": {
			func(opts ...signer.Option) error {
				_, err := signer.NewAPIKeys([]signer.APIKey{{Principal: "acme", Hash: hash}}, opts...)
				return err
			},
			[]string{"WithHeader"},
		},
		"Basic": {
			func(opts ...signer.Option) error { _, err := signer.NewBasic("me", lit, opts...); return err },
			[]string{"WithKey", "WithPrincipal", "InsecureAt"},
		},
		"Bearer": {
			func(opts ...signer.Option) error { _, err := signer.NewBearer(lit, opts...); return err },
			[]string{"WithHeader"},
		},
	} {
		for name, option := range options {
			if scheme == "Standard" && name == "WithKey" {
				continue // it takes the option, but not this key; TestMixedKeys has one that it takes
			}
			err := c.build(option)
			if slices.Contains(c.takes, name) {
				require.NoError(t, err, "%s %s", scheme, name)
				continue
			}
			require.ErrorIs(t, err, signer.ErrConfig, "%s %s", scheme, name)
			require.ErrorContains(t, err, scheme+": "+name+" does not apply", scheme)
		}
	}
}

// The form of a key that a scheme does not take is an error, and no scheme is
// returned.
func TestSchemes_RefuseTheOtherFormOfSecret(t *testing.T) {
	t.Parallel()
	std := signer.GenerateSecret()
	github, err := signer.NewGitHub(std)
	require.ErrorIs(t, err, signer.ErrConfig)
	require.Nil(t, github)
	stripe, err := signer.NewStripe(std)
	require.ErrorIs(t, err, signer.ErrConfig)
	require.Nil(t, stripe)
}

// The table has names at the limits of what headers, prefixes and fields may
// have.
func TestOptions_Limits(t *testing.T) {
	t.Parallel()
	key := signer.GenerateLiteralSecret()
	prefix := func(text string) error {
		_, err := signer.NewTimestamped(key, signer.WithHeaderPrefix(text))
		return err
	}
	mark := func(text string) error {
		_, err := signer.NewTimestamped(key, signer.WithSignaturePrefix(text))
		return err
	}
	field := func(text string) error {
		_, err := signer.NewStripe(key, signer.WithFieldNames(text, "v1"))
		return err
	}
	tolerance := func(d time.Duration) error {
		_, err := signer.NewTimestamped(key, signer.WithTolerance(d))
		return err
	}
	for name, c := range map[string]struct {
		err  error
		says string // empty: no error
	}{
		"prefix of all kinds":   {prefix("azAZ09-X"), ""},
		"prefix of 64 bytes":    {prefix(strings.Repeat("x", 64)), ""},
		"prefix of 65 bytes":    {prefix(strings.Repeat("x", 65)), "WithHeaderPrefix"},
		"prefix with a dash":    {prefix("-X"), "WithHeaderPrefix"},
		"mark of a tilde":       {mark("~"), ""},
		"mark of a blank":       {mark(" "), ""},
		"mark with DEL":         {mark("\x7f"), "WithSignaturePrefix"},
		"mark of 64 bytes":      {mark(strings.Repeat("x", 64)), ""},
		"mark of 65 bytes":      {mark(strings.Repeat("x", 65)), "1 to 64 bytes"},
		"field of 32 bytes":     {field(strings.Repeat("x", 32)), ""},
		"field of 33 bytes":     {field(strings.Repeat("x", 33)), "1 to 32 letters"},
		"tolerance of a second": {tolerance(time.Second), ""},
		"less than a second":    {tolerance(time.Second - 1), "WithTolerance"},
		"tolerance of a day":    {tolerance(24 * time.Hour), ""},
		"more than a day":       {tolerance(24*time.Hour + 1), "WithTolerance"},
	} {
		if c.says == "" {
			require.NoError(t, c.err, name)
			continue
		}
		require.ErrorIs(t, c.err, signer.ErrConfig, name)
		require.ErrorContains(t, c.err, c.says, name)
	}
}

// An error about several keys says which two it means.
func TestKeys_ErrorsNameThePlaces(t *testing.T) {
	t.Parallel()
	a, b, c := signer.GenerateSecret(), signer.GenerateSecret(), signer.GenerateSecret()
	pair := signer.GenerateSigningKey()
	keys := func(first signer.Key, others ...signer.Key) error {
		var opts []signer.Option
		for _, key := range others {
			opts = append(opts, signer.WithKey(key))
		}
		_, err := signer.NewStandard(first, opts...)
		return err
	}
	for says, err := range map[string]error{
		"key-2 repeats key-1":             keys(a, a),
		"key-3 repeats key-2":             keys(a, b, b),
		"key-3 repeats key-1":             keys(pair, b, pair.VerifyingKey()),
		"key-2 and key-1 have the same":   keys(a.Named("x"), b.Named("x")),
		"key-3 and key-2 have the same":   keys(a, b.Named("x"), c.Named("x")),
		"key-2 is nil":                    keys(a, nil),
		"key-3 is a literal secret":       keys(a, b, signer.GenerateLiteralSecret()),
		"9 keys; at most 8":               keys(a, b, c, a, a, a, a, a, a),
		"4 keys, Ed25519 keys among them": keys(a, b, c, pair),
	} {
		require.ErrorIs(t, err, signer.ErrConfig, says)
		require.ErrorContains(t, err, says)
	}
	eight := make([]signer.Key, 7)
	for i := range eight {
		eight[i] = signer.GenerateSecret()
	}
	require.NoError(t, keys(a, eight...))
	require.NoError(t, keys(a, pair, signer.GenerateSigningKey()))
}
