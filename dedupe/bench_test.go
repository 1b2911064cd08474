package dedupe

import (
	"context"
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// floor is the simplest store that keeps duplicates out, with shards of a
// mutex and a map. It has no leases, no tokens and no limit, and never forgets
// a key.
type floor struct {
	base   time.Time
	shards []floorShard
}

type floorShard struct {
	mu sync.Mutex
	m  map[Key]floorEntry
	_  [112]byte
}

type floorEntry struct {
	deadline time.Duration
	done     bool
}

func newFloor(shards int) *floor {
	f := &floor{base: time.Now(), shards: make([]floorShard, shards)}
	for i := range f.shards {
		f.shards[i].m = make(map[Key]floorEntry)
	}
	return f
}

func (f *floor) shard(key *Key) *floorShard {
	return &f.shards[binary.LittleEndian.Uint32(key[:])%uint32(len(f.shards))]
}

func (f *floor) Claim(_ context.Context, key Key, lease time.Duration) (Claim, error) {
	s := f.shard(&key)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Since(f.base)
	if e, ok := s.m[key]; ok && now < e.deadline {
		if e.done {
			return Claim{Key: key, State: Completed}, nil
		}
		return Claim{Key: key, State: InFlight, RetryAfter: e.deadline - now}, nil
	}
	s.m[key] = floorEntry{deadline: now + lease}
	return Claim{Key: key, State: Claimed, Token: 1}, nil
}

func (f *floor) Complete(_ context.Context, c Claim) error {
	s := f.shard(&c.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.m[c.Key] = floorEntry{deadline: time.Since(f.base) + DefaultTTL, done: true}
	return nil
}

func (f *floor) Release(_ context.Context, c Claim) error {
	s := f.shard(&c.Key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.m, c.Key)
	return nil
}

type claimer interface {
	Claim(ctx context.Context, key Key, lease time.Duration) (Claim, error)
	Complete(ctx context.Context, c Claim) error
	Release(ctx context.Context, c Claim) error
}

// numberedKey distributes numbers over keys as evenly as a digest, at almost no
// cost.
func numberedKey(n uint64) (k Key) {
	for i := range 4 {
		n += 0x9e3779b97f4a7c15
		x := n
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		binary.LittleEndian.PutUint64(k[8*i:], x^x>>31)
	}
	return k
}

// eachStore runs a benchmark on the floor and on a Memory with the same
// capacity and number of shards.
func eachStore(b *testing.B, capacity int, run func(b *testing.B, make func() claimer)) {
	newMemory := func() *Memory {
		m, err := NewMemory(WithCapacity(capacity))
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	shards := len(newMemory().shards)
	b.Run("floor", func(b *testing.B) { run(b, func() claimer { return newFloor(shards) }) })
	b.Run("memory", func(b *testing.B) { run(b, func() claimer { return newMemory() }) })
}

func handle(b *testing.B, s claimer, key Key) {
	ctx := context.Background()
	c, err := s.Claim(ctx, key, time.Minute)
	if err != nil || c.State != Claimed {
		b.Fatal(c, err)
	}
	if err := s.Complete(ctx, c); err != nil {
		b.Fatal(err)
	}
}

func fill(b *testing.B, s claimer, n int) {
	for i := range n {
		handle(b, s, numberedKey(uint64(i)))
	}
}

// BenchmarkHandle claims and completes new deliveries. The stores grow from
// empty to a million keys and are then replaced, so the time includes growth.
func BenchmarkHandle(b *testing.B) {
	const upTo = 1 << 20
	eachStore(b, upTo, func(b *testing.B, make func() claimer) {
		b.ReportAllocs()
		s := make()
		for i := 0; b.Loop(); i++ {
			if i%upTo == upTo-1 {
				s = make()
			}
			handle(b, s, numberedKey(uint64(i)))
		}
	})
}

// BenchmarkHandleParallel is BenchmarkHandle on all cores.
func BenchmarkHandleParallel(b *testing.B) {
	eachStore(b, 1<<26, func(b *testing.B, make func() claimer) {
		b.ReportAllocs()
		s := make()
		var worker atomic.Uint64
		b.RunParallel(func(pb *testing.PB) {
			for i := worker.Add(1) << 40; pb.Next(); i++ {
				handle(b, s, numberedKey(i))
			}
		})
	})
}

// BenchmarkDuplicate claims completed keys in a store of a million. Retries
// usually repeat recent deliveries, which are in the CPU cache. A random one of
// the million is the worst case, in which the time is mostly access to main
// memory.
func BenchmarkDuplicate(b *testing.B) {
	const n = 1 << 20
	for _, among := range []struct {
		name string
		bits int
	}{{"recent", 13}, {"any", 20}} {
		b.Run(among.name, func(b *testing.B) {
			eachStore(b, n, func(b *testing.B, make func() claimer) {
				s := make()
				fill(b, s, n)
				b.ReportAllocs()
				for i := uint64(1); b.Loop(); i = i*6364136223846793005 + 1442695040888963407 {
					c, err := s.Claim(context.Background(), numberedKey(n-1-i>>(64-among.bits)), time.Minute)
					if err != nil || c.State != Completed {
						b.Fatal(c, err)
					}
				}
			})
		})
	}
}

// BenchmarkRelease claims and releases keys in a store with a million
// remembered deliveries.
func BenchmarkRelease(b *testing.B) {
	const n = 1 << 20
	eachStore(b, n+1, func(b *testing.B, make func() claimer) {
		s := make()
		fill(b, s, n)
		b.ReportAllocs()
		for i := uint64(n); b.Loop(); i++ {
			c, err := s.Claim(context.Background(), numberedKey(i), time.Minute)
			if err != nil || c.State != Claimed {
				b.Fatal(c, err)
			}
			if err := s.Release(context.Background(), c); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkBytes measures the memory of a remembered ID for the sizes between
// two doublings of the tables.
func BenchmarkBytes(b *testing.B) {
	for _, n := range []int{700_000, 786_000, 790_000, 900_000, 1_000_000, 1_200_000, 1_500_000, 1_572_000, 1_580_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			eachStore(b, n, func(b *testing.B, make func() claimer) {
				var bytes uint64
				for range b.N {
					before := heap()
					s := make()
					fill(b, s, n)
					bytes = heap() - before
					runtime.KeepAlive(s)
				}
				b.ReportMetric(float64(bytes)/float64(n), "B/ID")
			})
		})
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	return s.HeapAlloc
}

// BenchmarkNewKey computes keys of ordinary length.
func BenchmarkNewKey(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		NewKey("deploys", "acme", "whk_0193e4a1b2c37d4e8f90123456789abc")
	}
}
