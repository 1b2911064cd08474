package signer_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/seeds"
	"github.com/deployhook/deployhook/signer"
)

func TestParseSecret(t *testing.T) {
	t.Parallel()
	encode := func(n int) string { return "whsec_" + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	for _, c := range []struct{ name, text, says string }{
		{"specification's own", specSecret, ""},
		{"24 bytes", encode(24), ""},
		{"64 bytes", encode(64), ""},
		{"empty", "", "environment variable"},
		{"prefix alone", "whsec_", "nothing follows"},
		{"no prefix", strings.TrimPrefix(specSecret, "whsec_"), "lacks the whsec_ prefix; a secret whose own bytes are the key is made by NewLiteralSecret"},
		{"upper-case prefix", "WHSEC_" + strings.TrimPrefix(specSecret, "whsec_"), "lacks the whsec_ prefix"},
		{"doubled prefix", "whsec_" + specSecret, "doubled"},
		{"line end", specSecret + "\n", "white space"},
		{"blank before", " " + specSecret, "white space"},
		{"blank within", specSecret[:20] + " " + specSecret[20:], "white space"},
		{"URL-safe alphabet", "whsec_" + base64.URLEncoding.EncodeToString([]byte(strings.Repeat("\xfb\xff\xbe", 8))), "URL-safe"},
		{"missing padding", "whsec_" + base64.RawStdEncoding.EncodeToString(make([]byte, 25)), "padding"},
		{"not base64", "whsec_" + strings.Repeat("!", 32), "not base64"},
		{"trailing bits", "whsec_" + strings.Repeat("A", 34) + "B=", "not base64"},
		{"23 bytes", encode(23), "23 bytes"},
		{"65 bytes", encode(65), "65 bytes"},
		{"private Ed25519 key", "whsk_" + strings.Repeat("A", 32), "Ed25519"},
		{"public Ed25519 key", "whpk_" + strings.Repeat("A", 32), "Ed25519"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := signer.ParseSecret(c.text)
			if c.says == "" {
				require.NoError(t, err)
				require.Equal(t, c.text, got.Reveal())
				return
			}
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.ErrorContains(t, err, c.says)
			require.True(t, got.IsZero())
			if len(c.text) > 12 {
				require.NotContains(t, err.Error(), c.text[6:], "the value must not be in the error")
			}
		})
	}
}

func TestNewLiteralSecret(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, says string }{
		{"sixteen bytes", "0123456789abcdef", ""},
		{"blanks inside", "It's a Secret to Everybody", ""},
		{"whsec_ is part of the key", specSecret, ""},
		{"public Ed25519 key", signer.GenerateSigningKey().VerifyingKey().String(), "Ed25519"},
		{"private Ed25519 key", signer.GenerateSigningKey().Reveal(), "Ed25519"},
		{"empty", "", "environment variable"},
		{"too short", "0123456789abcde", "at least 16"},
		{"too long", strings.Repeat("x", 1025), "at most 1024"},
		{"line end", "0123456789abcdef\n", "line end"},
		{"blank before", " 0123456789abcdef", "white space"},
		{"byte order mark's cousin", "0123456789abcdef\x00", "control character"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := signer.NewLiteralSecret(c.text)
			if c.says == "" {
				require.NoError(t, err)
				require.Equal(t, c.text, got.Reveal())
				return
			}
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.ErrorContains(t, err, c.says)
			require.True(t, got.IsZero())
		})
	}
}

func TestGeneratedSecretsAreDifferentAndParse(t *testing.T) {
	t.Parallel()
	a, b := signer.GenerateSecret(), signer.GenerateSecret()
	require.False(t, a.Equal(b))
	again, err := signer.ParseSecret(a.Reveal())
	require.NoError(t, err)
	require.True(t, a.Equal(again))

	c := signer.GenerateLiteralSecret()
	require.Len(t, c.Reveal(), 52)
	again, err = signer.NewLiteralSecret(c.Reveal())
	require.NoError(t, err)
	require.True(t, c.Equal(again))
	require.False(t, c.Equal(signer.GenerateLiteralSecret()))
}

func TestTheTwoFormsOfOneTextAreDifferentKeys(t *testing.T) {
	t.Parallel()
	require.False(t, secret(t, specSecret).Equal(literalSecret(t, specSecret)))
}

func FuzzParseSecret(f *testing.F) {
	seeds.Add(f, 14)
	f.Fuzz(func(t *testing.T, text string) {
		if s, err := signer.ParseSecret(text); err == nil {
			// Keys are not malleable, because a text that parses is the only spelling of
			// its key.
			require.Equal(t, text, s.Reveal())
			key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(text, "whsec_"))
			require.NoError(t, err)
			require.Equal(t, text, "whsec_"+base64.StdEncoding.EncodeToString(key))
			require.True(t, len(key) >= 24 && len(key) <= 64)
		} else {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
			require.True(t, s.IsZero())
		}
		if s, err := signer.NewLiteralSecret(text); err == nil {
			require.Equal(t, text, s.Reveal())
			require.Equal(t, strings.TrimSpace(text), text)
			require.GreaterOrEqual(t, len(text), 16)
		} else {
			require.ErrorIs(t, err, signer.ErrInvalidSecret)
		}
	})
}
