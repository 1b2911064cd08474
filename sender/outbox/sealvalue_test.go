package outbox

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// ascending is the secret of the sealed value below.
func ascending() []byte {
	secret := make([]byte, keySize)
	for i := range secret {
		secret[i] = byte(i)
	}
	return secret
}

// TestOpen_StoredValue opens a value that another implementation has sealed.
// Databases have such values, so the format can't change.
func TestOpen_StoredValue(t *testing.T) {
	t.Parallel()
	const stored = "0206323032362d316e6f6e63652d6f662d313262faaf7879b39c15b19227724eb19ac9df9523f5aad7e147d3b46ade36a1740a5a0e5c3f504beb540c"
	blob, err := hex.DecodeString(stored)
	require.NoError(t, err)
	k, err := NewSealingKey("2026-1", ascending())
	require.NoError(t, err)
	require.Equal(t, "2026-1", k.ID())
	r, err := newKeyring(k, nil)
	require.NoError(t, err)
	plain, err := r.open(binding{"ep_1", "shop", SchemeStandard}, columnURL, blob)
	require.NoError(t, err)
	require.Equal(t, "https://example.com/hook", string(plain))
}

// TestSealingKey_IDs tries each letter that an ID may have, and its neighbours.
func TestSealingKey_IDs(t *testing.T) {
	t.Parallel()
	for _, id := range append(strings.Split("azAZ09_-bB5", ""), strings.Repeat("k", maxKeyID)) {
		_, err := NewSealingKey(id, ascending())
		require.NoError(t, err, id)
	}
	for _, id := range append(strings.Split("`{@[/:. ä\n", ""), "", strings.Repeat("k", 33), "a b", "b.", ".b") {
		_, err := NewSealingKey(id, ascending())
		require.ErrorIs(t, err, ErrConfig, id)
	}
	_, err := NewSealingKey(strings.Repeat("k", 32), ascending())
	require.NoError(t, err)
}

// TestSeal_Empty seals nothing, which endpoints without headers do, with the
// shortest and the longest ID.
func TestSeal_Empty(t *testing.T) {
	t.Parallel()
	for _, id := range []string{"k", strings.Repeat("k", 32)} {
		r := testKeyring(t, id)
		plain, err := r.open(binding{}, columnHeader, r.seal(binding{}, columnHeader, nil))
		require.NoError(t, err)
		require.Empty(t, plain)
	}
}

// TestOpen_SaysWhatIsWrong tells an operator a value that was never sealed from
// one that was sealed with another key.
func TestOpen_SaysWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := testKeyring(t, "k")
	head := append([]byte{sealVersion, 1, 'k'}, make([]byte, nonceSize)...)
	for name, blob := range map[string][]byte{
		"another version": append([]byte{sealVersion + 1}, head[1:]...),
		"empty":           nil,
		"cut":             head[:len(head)-1],
	} {
		_, err := r.open(binding{}, columnURL, blob)
		require.ErrorIs(t, err, ErrUnseal, name)
		require.ErrorContains(t, err, "not a sealed value", name)
	}
	_, err := r.open(binding{}, columnURL, head)
	require.ErrorIs(t, err, ErrUnseal)
	require.ErrorContains(t, err, "was altered", "the value is whole, but has no text")
}
