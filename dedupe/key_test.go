package dedupe_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
)

// The digests come from Python's hashlib and struct:
//
//	hashlib.sha256(b''.join(struct.pack('>Q', len(p)) + p for p in parts)).hexdigest()
//
// They must never change, because instances of different versions share stores.
func TestKeyIsTheDigestOfLengthPrefixedParts(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, principal, id, want string }{
		{"", "", "", "9d908ecfb6b256def8b49a7c504e6c889c4b0e41fe6ce3e01863dd7b61a20aa0"},
		{"deploys", "acme", "whk_0193e4a1b2c37d4e8f90123456789abc", "84ae0460c7818330254b55a522f93687a2a0549c305a52e1266e135852cfaa2a"},
		{"a", "bc", "d", "5f57d28dfd0ca19a2024a5c7e99508c5c479adac47d802042b37a4cf78a7a205"},
		{strings.Repeat("s", 300), strings.Repeat("p", 300), strings.Repeat("i", 300), "5846254acdebd27430c176128b39f7918a3ed12b204ccc2ef5f074b9263c0c1b"},
		{"quelle", "größe", "\x00\xff", "b820f3cce15f9fe302d882acf59a6624656904bd7ff8519978d1766d1adcc28e"},
		// These are the longest input that is hashed in one piece, and the
		// shortest that is not.
		{strings.Repeat("s", 488), "", "", "117b902d35db716526fa0b7aca63b3e713bba9c16737fef116f1c5a07cea4ba6"},
		{strings.Repeat("s", 489), "", "", "61755cd5853c8f5562ad92e7ba41c12261f1326000a08e8ad9c780a616d29187"},
	} {
		require.Equal(t, c.want, dedupe.NewKey(c.source, c.principal, c.id).String())
	}
}

func TestKeyPartsAreNotConcatenated(t *testing.T) {
	t.Parallel()
	require.NotEqual(t, dedupe.NewKey("a", "bc", "d"), dedupe.NewKey("ab", "c", "d"))
	require.NotEqual(t, dedupe.NewKey("a", "b", "cd"), dedupe.NewKey("a", "bc", "d"))
	require.NotEqual(t, dedupe.NewKey("", "a", ""), dedupe.NewKey("a", "", ""))
	// This ID imitates the length prefix of the next part.
	require.NotEqual(t, dedupe.NewKey("a", "b", "c"), dedupe.NewKey("a\x00\x00\x00\x00\x00\x00\x00\x01b", "", "c"))
}

func TestNewKeyDoesNotAllocate(t *testing.T) {
	long := strings.Repeat("x", 4096)
	require.Zero(t, testing.AllocsPerRun(100, func() { dedupe.NewKey("deploys", "acme", "whk_0193e4a1b2c37d4e8f90123456789abc") }))
	require.Zero(t, testing.AllocsPerRun(100, func() { dedupe.NewKey("deploys", long, long) }))
	for n := 470; n < 530; n++ { // around the longest input that is hashed in one piece
		require.Zero(t, testing.AllocsPerRun(10, func() { dedupe.NewKey(long[:n], "", "") }), n)
	}
}

func TestStateNames(t *testing.T) {
	t.Parallel()
	require.Equal(t, "claimed", dedupe.Claimed.String())
	require.Equal(t, "in-flight", dedupe.InFlight.String())
	require.Equal(t, "completed", dedupe.Completed.String())
	require.Equal(t, "invalid", dedupe.State(0).String())
	require.Equal(t, "invalid", dedupe.State(4).String())
}
