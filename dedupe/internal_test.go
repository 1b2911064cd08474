package dedupe

import (
	"context"
	"reflect"
	"runtime/metrics"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func claimNumber(t testing.TB, m *Memory, n uint64, lease time.Duration) Claim {
	t.Helper()
	c, err := m.Claim(context.Background(), numberedKey(n), lease)
	if err != nil || c.State != Claimed {
		// require is too slow for a million calls
		t.Fatalf("key %d: %v, %v", n, c.State, err)
	}
	return c
}

func completeNumber(t testing.TB, m *Memory, n uint64) {
	t.Helper()
	if err := m.Complete(context.Background(), claimNumber(t, m, n, time.Minute)); err != nil {
		t.Fatalf("key %d: %v", n, err)
	}
}

// step simulates that the machine's clock was set forward by d since the store
// was created. Bits 30 to 62 of the first word of time.Time are the seconds of
// the wall clock. The monotonic reading next to them does not change.
func (m *Memory) step(t *testing.T, d time.Duration) {
	const hasMonotonic = 1 << 63
	wall := (*uint64)(unsafe.Pointer(&m.base))
	require.NotZero(t, *wall&hasMonotonic, "the store's clock has no monotonic reading")
	before := m.base.Round(0)
	*wall -= uint64(int64(d/time.Second)) << 30
	require.Equal(t, -d, m.base.Round(0).Sub(before), "the layout of time.Time has changed")
}

func TestSettingTheClockChangesNothing(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{time.Hour, -time.Hour, 72 * time.Hour, -72 * time.Hour} {
		m := newTestMemory(t, DefaultTTL, 10, 1)
		completeNumber(t, m, 1)
		held := claimNumber(t, m, 2, time.Hour)
		m.step(t, d)

		c, err := m.Claim(t.Context(), numberedKey(1), time.Hour)
		require.NoError(t, err)
		require.Equal(t, Completed, c.State, "a clock set by %v makes the store take a replay", d)
		c, err = m.Claim(t.Context(), numberedKey(2), time.Hour)
		require.NoError(t, err)
		require.Equal(t, InFlight, c.State, "a clock set by %v takes a claim from its holder", d)
		require.LessOrEqual(t, c.RetryAfter, time.Hour)
		require.Greater(t, c.RetryAfter, 55*time.Minute)
		require.NoError(t, m.Renew(t.Context(), held, time.Hour))
	}
}

// pointers reports whether values of a type contain anything for the garbage
// collector to scan.
func pointers(of reflect.Type) bool {
	switch of.Kind() {
	case reflect.Struct:
		for f := range of.Fields() {
			if pointers(f.Type) {
				return true
			}
		}
		return false
	case reflect.Array:
		return pointers(of.Elem())
	default:
		return of.Kind() > reflect.Complex128
	}
}

func TestTablesHaveNoPointers(t *testing.T) {
	t.Parallel()
	require.False(t, pointers(reflect.TypeFor[entry]()))
	require.False(t, pointers(reflect.TypeOf(index{}.slots).Elem()))
	require.False(t, pointers(reflect.TypeOf(leases{}).Elem()))
	require.True(t, pointers(reflect.TypeFor[shard]()), "or the check is blind")
	require.EqualValues(t, 56, unsafe.Sizeof(entry{}))
	require.Zero(t, unsafe.Sizeof(shard{})%64, "shards are whole cache lines")
}

// scannable returns the number of heap bytes that the garbage collector had to
// scan in its latest cycle.
func scannable() uint64 {
	sample := []metrics.Sample{{Name: "/gc/scan/heap:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// This test is not parallel, because it measures the heap. After the first
// number of keys the index has just grown, so it is as empty as possible.
// BenchmarkBytes measures more numbers.
func TestMemoryOfAKey(t *testing.T) {
	for _, n := range []uint64{225_000, 1_000_000} {
		if testing.Short() && n > 500_000 {
			continue
		}
		before, scanBefore := heap(), scannable()
		m, err := NewMemory(WithCapacity(int(n)))
		require.NoError(t, err)
		for i := range n {
			completeNumber(t, m, i)
		}
		bytes := float64(heap()-before) / float64(n)
		scan := float64(int64(scannable()-scanBefore)) / float64(n)
		t.Logf("%d keys: %.1f bytes each, of them %.2f to scan", n, bytes, scan)
		require.LessOrEqual(t, bytes, 80.0)
		require.Less(t, scan, 0.25)
		require.NoError(t, m.Close())
	}
}

func TestSteadyStateDoesNotAllocate(t *testing.T) {
	ctx := context.Background()
	m := newTestMemory(t, time.Minute, 2000, 4)
	n := uint64(0)
	cycle := func() {
		// a thousand keys are remembered at any time
		m.elapse(time.Minute / 1000)
		completeNumber(t, m, n)
		c := claimNumber(t, m, n+1, time.Second)
		if m.Renew(ctx, c, time.Minute) != nil || m.Release(ctx, c) != nil {
			t.Fatal("not held")
		}
		if c, err := m.Claim(ctx, numberedKey(n), time.Minute); err != nil || c.State != Completed {
			t.Fatal("not completed")
		}
		n += 2
	}
	for range 5000 {
		cycle()
	}
	require.Zero(t, testing.AllocsPerRun(1000, cycle))
	require.NoError(t, m.audit())
}

func TestFullStoreDoesNotAllocate(t *testing.T) {
	m := newTestMemory(t, time.Minute, 10, 64)
	for i := range uint64(10) {
		completeNumber(t, m, i)
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if _, err := m.Claim(context.Background(), numberedKey(99), time.Minute); err != ErrFull {
			t.Fatal(err)
		}
	}))
}

// One call does little work no matter how much has expired, and a few calls are
// enough to catch up.
func TestPruningIsBoundedAndCatchesUp(t *testing.T) {
	t.Parallel()
	const n = 5000
	m := newTestMemory(t, time.Hour, 2*n, 1)
	for i := range uint64(n) {
		completeNumber(t, m, i)
		claimNumber(t, m, 1<<40+i, time.Minute)
	}
	m.elapse(2 * time.Hour)
	require.Equal(t, 2*n, m.Len())
	for i := uint64(0); m.Len() > int(i); i++ {
		before := m.Len()
		completeNumber(t, m, 1<<50+i)
		require.GreaterOrEqual(t, m.Len(), before+1-4, "one call frees at most two keys of each kind")
		if before > int(i)+4 {
			require.Less(t, m.Len(), before, "pruning does not catch up")
		}
		require.Less(t, i, uint64(n))
	}
	require.NoError(t, m.audit())
}

func TestExpiredRoomIsUsedAgain(t *testing.T) {
	t.Parallel()
	m := newTestMemory(t, time.Hour, 10_000, 2)
	var chunks int
	for round := range uint64(5) {
		for i := range uint64(5000) {
			completeNumber(t, m, round<<40+i)
		}
		require.NoError(t, m.audit())
		total := 0
		for i := range m.shards {
			total += len(m.shards[i].entries.chunks)
		}
		if round > 0 {
			require.LessOrEqual(t, total, chunks+2, "the store grows although it remembers no more keys")
		}
		chunks = max(chunks, total)
		m.elapse(time.Hour)
	}
}

func TestGrowingKeepsEverything(t *testing.T) {
	t.Parallel()
	const n = 20_000
	m := newTestMemory(t, time.Hour, n, 2)
	for i := range uint64(n) {
		if completeNumber(t, m, i); i&(i+1) == 0 {
			require.NoError(t, m.audit())
		}
	}
	require.NoError(t, m.audit())
	for i := range uint64(n) {
		c, err := m.Claim(t.Context(), numberedKey(i), time.Minute)
		require.True(t, err == nil && c.State == Completed, "key %d: %v, %v", i, c.State, err)
	}
}

// Large stores have more shards, so that no shard takes long to grow.
func TestShardsStaySmall(t *testing.T) {
	t.Parallel()
	for capacity, want := range map[int]int{1: 64, 1 << 20: 64, 1 << 21: 128, 1 << 24: 1024, 1 << 30: 1024} {
		m, err := NewMemory(WithCapacity(capacity))
		require.NoError(t, err)
		require.Len(t, m.shards, want, "capacity %d", capacity)
	}
}

// Each store has a secret distribution of keys to slots. Otherwise a sender
// could choose IDs whose keys all go to the same slots.
func TestMemory_HashIsSecretPerStore(t *testing.T) {
	t.Parallel()
	a, b := newHasher(), newHasher()
	hashes := make(map[uint64]bool)
	shards := make(map[uint64]bool)
	for i := range 32 * 255 {
		var k Key // keys that differ only in one or two bytes, at any position
		k[i/255] = byte(1 + i%255)
		h := a.hash(&k)
		hashes[h], shards[h>>58] = true, true
		require.NotEqual(t, h, b.hash(&k))
	}
	require.Len(t, hashes, 32*255)
	require.Len(t, shards, 64, "similar keys end up in few shards")
}

// Keys with the same hash are still different deliveries.
func TestMemory_CollidingKeysStayDistinct(t *testing.T) {
	t.Parallel()
	const n = 100
	m := newTestMemory(t, time.Hour, 2*n, 4)
	// the third word of all keys is zero, so the last product is too
	m.hasher[2] = 0
	var claims []Claim
	for i := range n {
		var k Key // half of them begin alike, the others end alike
		if i%2 == 0 {
			k[i%16] = byte(i + 1)
		} else {
			k[31-i%8] = byte(i + 1)
		}
		require.Zero(t, m.hasher.hash(&k))
		c, err := m.Claim(t.Context(), k, time.Minute)
		require.NoError(t, err)
		require.Equal(t, Claimed, c.State)
		claims = append(claims, c)
	}
	for i, c := range claims {
		if i%2 == 0 {
			require.NoError(t, m.Complete(t.Context(), c))
		} else {
			require.NoError(t, m.Release(t.Context(), c))
		}
		require.NoError(t, m.audit())
	}
	for i, c := range claims {
		again, err := m.Claim(t.Context(), c.Key, time.Minute)
		require.NoError(t, err)
		require.Equal(t, []State{Completed, Claimed}[i%2], again.State)
	}
}

// A caller that reserved room for a new key, but finds that the key exists
// meanwhile, returns the room.
func TestMemory_ReturnsUnusedRoom(t *testing.T) {
	t.Parallel()
	m := newTestMemory(t, time.Hour, 10, 1)
	c := claimNumber(t, m, 1, time.Minute)
	h := m.hasher.hash(&c.Key)

	require.True(t, m.reserve())
	again, err := m.claim(h, c.Key, time.Minute, 1)
	require.NoError(t, err)
	require.Equal(t, InFlight, again.State)
	require.NoError(t, m.audit())

	require.True(t, m.reserve())
	require.NoError(t, m.complete(h, c, true))
	require.NoError(t, m.audit())

	require.NoError(t, m.Close())
	require.True(t, m.reserve())
	require.ErrorIs(t, m.complete(h, c, true), ErrClosed)
	require.True(t, m.reserve())
	_, err = m.claim(h, c.Key, time.Minute, 1)
	require.ErrorIs(t, err, ErrClosed)
	require.Zero(t, m.Len())
}
