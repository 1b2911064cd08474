package dedupe

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A small shard stays small. A growing table is between 3/8 and 3/4 full, and
// entries are allocated in chunks.
func TestMemory_TablesFitTheirKeys(t *testing.T) {
	t.Parallel()
	const n = 3000
	m := newTestMemory(t, time.Hour, n, 1)
	s := &m.shards[0]
	for keys := 1; keys <= n; keys++ {
		completeNumber(t, m, uint64(keys))
		slots, entries := len(s.index.slots), 0
		for _, chunk := range s.entries.chunks {
			entries += len(chunk)
		}
		require.LessOrEqual(t, 4*keys, 3*slots, "%d keys fill %d slots", keys, slots)
		if slots > 16 {
			require.Greater(t, 8*keys, 3*slots, "%d keys leave %d slots empty", keys, slots)
		}
		if keys == 1 {
			require.LessOrEqual(t, slots, 16)
		}
		// Entry 0 is the root of a list.
		require.Less(t, entries, max(2*keys+8, keys+600)+1, "%d keys", keys)
		if keys < 256 {
			require.LessOrEqual(t, entries, max(8, 2*(keys+1)), "%d keys", keys)
		}
	}
	require.NoError(t, m.audit())
}

// A lookup reads a few slots, because keys start at different ones.
func TestIndex_LookupsAreShort(t *testing.T) {
	t.Parallel()
	const n = 5000
	m := newTestMemory(t, time.Hour, n, 1)
	for i := range uint64(n) {
		completeNumber(t, m, i)
	}
	x := &m.shards[0].index
	steps := 0
	for i, slot := range x.slots {
		if slot != emptySlot {
			home := x.home(slotHash(slot))
			require.Less(t, int(home), len(x.slots))
			steps += int((uint32(i) - home) & uint32(len(x.slots)-1))
		}
	}
	// Linear probing takes 1.5 steps on average in a table that is 3/4 full.
	require.Less(t, steps, 4*n)
}

func TestMemory_UsesAllShards(t *testing.T) {
	t.Parallel()
	m, err := NewMemory()
	require.NoError(t, err)
	for i := range uint64(5000) {
		completeNumber(t, m, i)
	}
	for i := range m.shards {
		require.NotZero(t, m.shards[i].index.count, "shard %d", i)
	}
}

// Every word of the seed changes the hash. With any seed, every byte of a key
// does.
func TestHasher_UsesSeedAndKey(t *testing.T) {
	t.Parallel()
	key := numberedKey(1)
	seed := newHasher()
	for i := range seed {
		other := seed
		other[i]++
		require.NotEqual(t, seed.hash(&key), other.hash(&key), "word %d of the seed", i)
	}
	var none hasher
	for i := range key {
		for bit := range 8 {
			a := Key{7: 0x80, 8: 3, 16: 3, 24: 1} // no word is zero, since a factor of zero hides the other
			b := a
			b[i] ^= 1 << bit
			require.NotEqual(t, none.hash(&a), none.hash(&b), "byte %d", i)
		}
	}
}

// A shard that has pruned what has expired knows when the next key expires, and
// looks at no entry before.
func TestShard_KnowsTheNextDeadline(t *testing.T) {
	t.Parallel()
	m := newTestMemory(t, time.Hour, 100, 1)
	s := &m.shards[0]
	completeNumber(t, m, 1)
	claimNumber(t, m, 2, time.Minute)
	m.elapse(2 * time.Minute)
	completeNumber(t, m, 3)
	require.Equal(t, 2, m.Len(), "the lease has ended")
	require.Greater(t, s.soonest, m.now(), "nothing else has expired")
	m.elapse(2 * time.Hour)
	claimNumber(t, m, 4, time.Minute)
	require.Equal(t, 1, m.Len())
	require.Greater(t, s.soonest, m.now())
	require.NoError(t, m.audit())
}

// With one kind of keys alone, pruning still catches up.
func TestPruning_CatchesUpWithEachKind(t *testing.T) {
	t.Parallel()
	const n = 1000
	for name, add := range map[string]func(m *Memory, i uint64){
		"completed": func(m *Memory, i uint64) { completeNumber(t, m, i) },
		"leased":    func(m *Memory, i uint64) { claimNumber(t, m, i, time.Minute) },
	} {
		m := newTestMemory(t, time.Hour, 2*n, 1)
		for i := range uint64(n) {
			add(m, i)
		}
		m.elapse(2 * time.Hour)
		for i := range uint64(n) {
			completeNumber(t, m, 1<<40+i)
		}
		require.Equal(t, n, m.Len(), name)
	}
}

// A claim in a full store frees one expired key of each kind, and no more.
func TestReclaim_FreesWhatItNeeds(t *testing.T) {
	t.Parallel()
	const n = 20
	m := newTestMemory(t, time.Hour, n, 2)
	perShard := [2][]uint64{}
	for i := uint64(0); len(perShard[0]) == 0 || len(perShard[1]) < n; i++ {
		key := numberedKey(i)
		at := m.hasher.hash(&key) >> m.shift
		perShard[at] = append(perShard[at], i)
	}
	for _, i := range perShard[1][:n] {
		completeNumber(t, m, i)
	}
	m.elapse(2 * time.Hour)
	claimNumber(t, m, perShard[0][0], time.Minute)
	require.Equal(t, n, m.Len())
	require.NoError(t, m.audit())
}

// Tokens are positive, whatever the machine's clock says.
func TestTokensFrom_IsNeverNegative(t *testing.T) {
	t.Parallel()
	for created, want := range map[time.Time]Token{
		time.UnixMicro(1_764_000_000_000_000): 1_764_000_000_000_000,
		time.UnixMicro(1):                     1,
		time.UnixMicro(0):                     0,
		time.UnixMicro(-1):                    0,
		{}:                                    0,
	} {
		require.Equal(t, want, tokensFrom(created), created)
	}
}

// The smallest token that a store may grant is one.
func TestMemory_CompletesTheFirstToken(t *testing.T) {
	t.Parallel()
	m := newTestMemory(t, time.Hour, 10, 1)
	c := Claim{Key: numberedKey(1), State: Claimed, Token: 1}
	require.NoError(t, m.Complete(context.Background(), c))
	again, err := m.Claim(t.Context(), c.Key, time.Minute)
	require.NoError(t, err)
	require.Equal(t, Completed, again.State)
	require.NoError(t, m.audit())
}
