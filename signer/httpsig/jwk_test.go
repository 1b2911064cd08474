package httpsig_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/signer"
	"github.com/deployhook/deployhook/signer/httpsig"
)

// The key of RFC 8037, appendix A.
const (
	rfcSeed       = "whsk_nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
	rfcX          = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
	rfcThumbprint = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
)

func TestJWK_RFC8037(t *testing.T) {
	t.Parallel()
	pair, err := signer.ParseSigningKey(rfcSeed)
	require.NoError(t, err)
	id, err := httpsig.Thumbprint(pair.VerifyingKey())
	require.NoError(t, err)
	require.Equal(t, rfcThumbprint, id)
	for _, key := range []signer.Key{pair, pair.VerifyingKey()} {
		text, err := newKey(t, "2026-11", key).JWK()
		require.NoError(t, err)
		require.Equal(t, `{"kty":"OKP","crv":"Ed25519","x":"`+rfcX+`","kid":"2026-11","use":"sig"}`, text)
	}
}

// What one side signs, the other verifies with the JWK alone.
func TestJWK_Verifies(t *testing.T) {
	t.Parallel()
	pair := signer.GenerateSigningKey()
	for _, id := range []string{"2026-11", "<&>", "~" + strings.Repeat("x", 127)} {
		key := newKey(t, id, pair)
		text, err := key.JWK()
		require.NoError(t, err)
		parsed, err := httpsig.ParseJWK(text)
		require.NoError(t, err)
		require.Equal(t, id, parsed.ID())
		own := newScheme(t, parsed)
		sent := signedAt(t, newScheme(t, key), time.Now())
		verified, err := own.Verify(received(t, sent), testBody)
		require.NoError(t, err)
		require.Equal(t, id, verified.Key)
		require.ErrorIs(t, own.Sign(t.Context(), outgoing(t, testURL), testID, time.Now(), testBody), signer.ErrNoActiveKey)
	}
}

// jwkCases are keys that are refused, with a part of the error's text. They are
// also seeds of FuzzParseJWK, with the accepted ones.
var (
	jwkCases = map[string]string{
		``:                                    "no JSON object",
		`[]`:                                  "no JSON object",
		`{"kty":1}`:                           "no JSON object",
		`{}`:                                  `kty ""`,
		`{"kty":"RSA","n":"AQAB","e":"AQAB"}`: `kty "RSA"`,
		`{"kty":"OKP","crv":"X25519","x":"` + rfcX + `"}`:                                          `crv "X25519"`,
		`{"kty":"OKP","crv":"Ed25519"}`:                                                            "32 bytes",
		`{"kty":"OKP","crv":"Ed25519","x":"` + rfcX + `="}`:                                        "32 bytes",
		`{"kty":"OKP","crv":"Ed25519","x":"AQAB"}`:                                                 "32 bytes",
		`{"kty":"OKP","crv":"Ed25519","x":"AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`:          "low order",
		`{"kty":"OKP","crv":"Ed25519","x":"` + rfcX + `","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZc"}`: "private key",
		`{"kty":"OKP","crv":"Ed25519","x":"` + rfcX + `","use":"enc"}`:                             `use "enc"`,
		`{"kty":"OKP","crv":"Ed25519","x":"` + rfcX + `","kid":"a b"}`:                             "key ID",
	}
	jwkAccepted = map[string]string{
		`{"kty":"OKP","crv":"Ed25519","x":"` + rfcX + `"}`:                                  rfcThumbprint,
		`{"x":"` + rfcX + `","crv":"Ed25519","kty":"OKP","alg":"EdDSA","kid":"a"}`:          "a",
		` {"kty":"OKP","crv":"Ed25519","x":"` + rfcX + `","use":"sig","kid":"<b>"} ` + "\n": "<b>",
	}
)

func TestParseJWK(t *testing.T) {
	t.Parallel()
	for text, want := range jwkCases {
		_, err := httpsig.ParseJWK(text)
		require.ErrorIs(t, err, signer.ErrConfig, text)
		require.ErrorContains(t, err, want, text)
		require.NotContains(t, err.Error(), "nWGxne", "a private key is not quoted")
	}
	for text, id := range jwkAccepted {
		key, err := httpsig.ParseJWK(text)
		require.NoError(t, err, text)
		require.Equal(t, id, key.ID())
	}
}

func TestJWK_NoPublicKey(t *testing.T) {
	t.Parallel()
	for _, key := range []httpsig.Key{{}, newKey(t, "a", signer.GenerateSecret())} {
		_, err := key.JWK()
		require.ErrorIs(t, err, signer.ErrConfig)
		require.ErrorContains(t, err, "no public key")
	}
	_, err := httpsig.Thumbprint(signer.VerifyingKey{})
	require.ErrorIs(t, err, signer.ErrConfig)
}

func TestParseJWK_SeedsAreCommitted(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join("testdata", "fuzz", "FuzzParseJWK", "*"))
	require.NoError(t, err)
	require.Len(t, files, len(jwkCases)+len(jwkAccepted))
	for _, name := range files {
		seed, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Contains(t, string(seed), "go test fuzz v1")
	}
}

// FuzzParseJWK checks that a key that is accepted comes out again, and that
// every other text is a mistake of the configuration.
func FuzzParseJWK(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		key, err := httpsig.ParseJWK(text)
		if err != nil {
			require.ErrorIs(t, err, signer.ErrConfig)
			require.Empty(t, key.ID())
			return
		}
		normal, err := key.JWK()
		require.NoError(t, err)
		again, err := httpsig.ParseJWK(normal)
		require.NoError(t, err)
		require.Equal(t, key.ID(), again.ID())
		repeated, err := again.JWK()
		require.NoError(t, err)
		require.Equal(t, normal, repeated)
	})
}
