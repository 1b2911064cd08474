package outbox

import (
	"bytes"
	"crypto/rand"
	"testing"

	"github.com/stretchr/testify/require"
)

func testKeyring(t testing.TB, ids ...string) *keyring {
	t.Helper()
	var keys []SealingKey
	for _, id := range ids {
		secret := make([]byte, keySize)
		_, _ = rand.Read(secret)
		k, err := NewSealingKey(id, secret)
		require.NoError(t, err)
		keys = append(keys, k)
	}
	r, err := newKeyring(keys[0], keys[1:])
	require.NoError(t, err)
	return r
}

// A sealed value that was cut, altered or moved cannot be decrypted. The error
// shows nothing of its content.
func TestASealedValueOpensOnlyAsItWasSealed(t *testing.T) {
	t.Parallel()
	r := testKeyring(t, "k1", "k2")
	plain := []byte("https://hooks.example/secret")
	at := binding{"ep_1", "shop", SchemeStandard}
	blob := r.seal(at, columnURL, plain)
	got, err := r.open(at, columnURL, blob)
	require.NoError(t, err)
	require.Equal(t, plain, got)
	refused := func(at binding, c column, blob []byte) {
		t.Helper()
		_, err := r.open(at, c, blob)
		require.ErrorIs(t, err, ErrUnseal)
		require.NotContains(t, err.Error(), "hooks.example")
		require.NotContains(t, err.Error(), "\n")
		if _, _, ok := splitBlob(blob); !ok {
			require.False(t, r.isCurrent(blob))
		}
	}
	for _, other := range []binding{
		{"ep_2", "shop", SchemeStandard},
		{"ep_1", "blog", SchemeStandard},
		{"ep_1", "shop", SchemeBearer},
		{"ep_1", "shopstandard", ""}, // the same letters in other parts
		{"ep_1s", "hop", SchemeStandard},
		{"ep_1", "shop", SchemeStandard + "\x03url"},
	} {
		refused(other, columnURL, blob)
	}
	refused(at, columnHeader, blob)
	refused(at, columnKeys, blob)
	for n := range blob {
		refused(at, columnURL, blob[:n])
		changed := bytes.Clone(blob)
		changed[n] ^= 1
		refused(at, columnURL, changed)
	}
	refused(at, columnURL, append(bytes.Clone(blob), 0))
	odd := append([]byte{sealVersion, 3}, "a\nb"...)
	refused(at, columnURL, append(odd, make([]byte, 64)...))
	_, _, ok := splitBlob(append(odd, make([]byte, 64)...))
	require.False(t, ok, "an ID that no key can have")
	require.True(t, r.isCurrent(blob))
	other := testKeyring(t, "k2").seal(at, columnURL, plain)
	require.False(t, r.isCurrent(other))
}

// A value sealed twice gives two different texts. With a repeated nonce,
// AES-GCM would reveal its key.
func TestEverySealIsAnother(t *testing.T) {
	t.Parallel()
	r := testKeyring(t, "k1")
	seen := map[string]bool{}
	for range 100 {
		blob := r.seal(binding{}, columnURL, []byte("same"))
		nonce := string(blob[4 : 4+nonceSize])
		require.False(t, seen[nonce])
		seen[nonce] = true
	}
}

func TestKeysOfOneRingHaveDifferentIDs(t *testing.T) {
	t.Parallel()
	r := testKeyring(t, "k1")
	_, err := newKeyring(r.current, []SealingKey{testKeyring(t, "k1").current})
	require.ErrorContains(t, err, "k1")
	_, err = newKeyring(r.current, []SealingKey{{}})
	require.Error(t, err)
	for _, size := range []int{0, 16, 24, 31, 33, 64} {
		_, err := NewSealingKey("k", bytes.Repeat([]byte("ab"), 32)[:size])
		require.ErrorIs(t, err, ErrConfig)
	}
	_, err = NewSealingKey("k", bytes.Repeat([]byte{7}, keySize))
	require.ErrorIs(t, err, ErrConfig)
	_, err = NewSealingKey("0123456789012345678901234567890123", bytes.Repeat([]byte("ab"), 16))
	require.ErrorIs(t, err, ErrConfig)
}
