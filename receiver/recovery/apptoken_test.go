package recovery_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/recovery"
)

// verifyRS256 verifies a JWT by RFC 7515 and RFC 8017, with arithmetic only.
func verifyRS256(t *testing.T, jwt string, key *rsa.PublicKey) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	require.Len(t, parts, 3)
	decode := func(text string) []byte {
		out, err := base64.RawURLEncoding.DecodeString(text)
		require.NoError(t, err)
		return out
	}
	signature := new(big.Int).SetBytes(decode(parts[2]))
	block := new(big.Int).Exp(signature, big.NewInt(int64(key.E)), key.N).FillBytes(make([]byte, key.Size()))
	digest := sha256.Sum256([]byte(parts[0] + "." + parts[1]))
	sha256Prefix := []byte{0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20}
	want := append([]byte{0, 1}, strings.Repeat("\xff", key.Size()-3-len(sha256Prefix)-len(digest))...)
	want = append(append(append(want, 0), sha256Prefix...), digest[:]...)
	require.Equal(t, want, block)
	require.JSONEq(t, `{"alg":"RS256","typ":"JWT"}`, string(decode(parts[0])))
	var claims map[string]any
	require.NoError(t, json.Unmarshal(decode(parts[1]), &claims))
	return claims
}

func TestGitHubAppToken(t *testing.T) {
	t.Parallel()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	for kind, der := range map[string][]byte{"RSA PRIVATE KEY": x509.MarshalPKCS1PrivateKey(key), "PRIVATE KEY": pkcs8} {
		synctest.Test(t, func(t *testing.T) {
			source, err := recovery.GitHubAppToken("Iv23liA", pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
			require.NoError(t, err)
			for range 2 {
				jwt, err := source(t.Context())
				require.NoError(t, err)
				now := float64(time.Now().Unix())
				require.Equal(t, map[string]any{"iss": "Iv23liA", "iat": now - 60, "exp": now + 540}, verifyRS256(t, jwt, &key.PublicKey))
				time.Sleep(time.Hour)
			}
		})
	}
}

func TestGitHubAppToken_Mistakes(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "no PEM", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"} {
		_, err := recovery.GitHubAppToken("1", []byte(text))
		require.ErrorIs(t, err, recovery.ErrConfig)
	}
}
