package signer

import (
	"crypto/ed25519"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// The published vectors of the algorithms have keys that the public
// constructors refuse, and no ID or time. The test calls the primitives
// themselves.
func TestPrimitiveVectors(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("testdata", "vectors.json"))
	require.NoError(t, err)
	var file struct {
		Primitives []struct {
			Source, Algorithm, Result string
			Key, Public, Message      []byte
		}
	}
	require.NoError(t, json.Unmarshal(raw, &file))
	require.Len(t, file.Primitives, 11)
	for _, p := range file.Primitives {
		t.Run(p.Source, func(t *testing.T) {
			t.Parallel()
			switch p.Algorithm {
			case "hmac-sha256":
				requireMAC(t, newMACKey(sha256.New, p.Key), p.Message, p.Result)
			case "hmac-sha1":
				requireMAC(t, newMACKey(sha1.New, p.Key), p.Message, p.Result)
			case "ed25519":
				key, err := ParseSigningKey(signingPrefix + base64.StdEncoding.EncodeToString(p.Key))
				require.NoError(t, err)
				require.Equal(t, p.Public, []byte(key.VerifyingKey().describe().public))
				signature, err := key.describe().sign(p.Message)
				require.NoError(t, err)
				require.Equal(t, p.Result, hex.EncodeToString(signature))
				require.True(t, ed25519.Verify(key.public, p.Message, signature))
			default:
				t.Fatal(p.Algorithm)
			}
		})
	}
}

func requireMAC(t *testing.T, key *macKey, message []byte, want string) {
	t.Helper()
	state := key.get()
	defer key.put(state)
	require.Equal(t, want, hex.EncodeToString(state.compute(message)))
}
