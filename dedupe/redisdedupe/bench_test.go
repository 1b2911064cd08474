package redisdedupe_test

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
	"github.com/deployhook/deployhook/dedupe/redisdedupe"
	"github.com/deployhook/deployhook/internal/servicetest"
)

const benchTTL = 10 * time.Minute

// bench is a connection to the real server with a separate key prefix.
type bench struct {
	client *redis.Client
	store  *redisdedupe.Store
	prefix string
	last   atomic.Uint64
}

func newBench(b *testing.B) *bench {
	o := options(b, servicetest.RedisURL(b))
	o.PoolSize = 64
	client := newClient(b, o)
	prefix := freshPrefix(b, client)
	return &bench{client: client, store: newStore(b, client, redisdedupe.WithPrefix(prefix), redisdedupe.WithTTL(benchTTL)), prefix: prefix}
}

func (x *bench) key() dedupe.Key {
	return dedupe.NewKey("bench", "acme", strconv.FormatUint(x.last.Add(1), 10))
}

func (x *bench) name(key dedupe.Key) string { return x.prefix + string(key[:]) }

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// handle handles one delivery in the same way as a receiver.
func (x *bench) handle(ctx context.Context) {
	c, err := x.store.Claim(ctx, x.key(), time.Minute)
	check(err)
	if c.State != dedupe.Claimed {
		panic(c.State)
	}
	check(x.store.Complete(ctx, c))
}

// The floors measure the same number of round trips with the same client.
var (
	trivial      = redis.NewScript("return {1, 0}")
	trivialWrite = redis.NewScript("redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) return {1, 0}")
)

func (x *bench) scripts(ctx context.Context, script *redis.Script) {
	key := x.key()
	for range 2 {
		_, err := script.Run(ctx, x.client, []string{x.name(key)}, "1", 60_000_000, 600_000).Int64Slice()
		check(err)
	}
}

// setNX is the simplest deduplication. It has no fencing, so a late worker
// overwrites its successor's claim.
func (x *bench) setNX(ctx context.Context) {
	name := x.name(x.key())
	got, err := x.client.SetArgs(ctx, name, "1", redis.SetArgs{Mode: "NX", TTL: time.Minute}).Result()
	check(err)
	if got != "OK" {
		panic(got)
	}
	check(x.client.SetArgs(ctx, name, "2", redis.SetArgs{Mode: "XX", TTL: benchTTL}).Err())
}

func concurrently(b *testing.B, goroutines int, f func(context.Context)) {
	b.ReportAllocs()
	if goroutines == 1 {
		for b.Loop() {
			f(context.Background())
		}
		return
	}
	b.SetParallelism((goroutines + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			f(context.Background())
		}
	})
}

// BenchmarkHandle claims and completes a new delivery.
func BenchmarkHandle(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		for _, c := range []struct {
			name string
			run  func(*bench, context.Context)
		}{
			{"floor-2-evalsha", func(x *bench, ctx context.Context) { x.scripts(ctx, trivial) }},
			{"floor-2-evalsha-set", func(x *bench, ctx context.Context) { x.scripts(ctx, trivialWrite) }},
			{"floor-setnx-set", (*bench).setNX},
			{"ours", (*bench).handle},
		} {
			b.Run(fmt.Sprintf("goroutines=%d/%s", goroutines, c.name), func(b *testing.B) {
				x := newBench(b)
				concurrently(b, goroutines, func(ctx context.Context) { c.run(x, ctx) })
			})
		}
	}
}

// BenchmarkDuplicate claims a completed key.
func BenchmarkDuplicate(b *testing.B) {
	for _, goroutines := range []int{1, 64} {
		for _, c := range []struct {
			name string
			run  func(*bench, context.Context, dedupe.Key)
		}{
			{"floor-evalsha", func(x *bench, ctx context.Context, key dedupe.Key) {
				_, err := trivial.Run(ctx, x.client, []string{x.name(key)}, "1", 60_000_000, 600_000).Int64Slice()
				check(err)
			}},
			{"floor-get", func(x *bench, ctx context.Context, key dedupe.Key) { check(x.client.Get(ctx, x.name(key)).Err()) }},
			{"ours", func(x *bench, ctx context.Context, key dedupe.Key) {
				c, err := x.store.Claim(ctx, key, time.Minute)
				check(err)
				if c.State != dedupe.Completed {
					panic(c.State)
				}
			}},
		} {
			b.Run(fmt.Sprintf("goroutines=%d/%s", goroutines, c.name), func(b *testing.B) {
				x := newBench(b)
				x.handle(b.Context())
				key := dedupe.NewKey("bench", "acme", "1")
				concurrently(b, goroutines, func(ctx context.Context) { c.run(x, ctx, key) })
			})
		}
	}
}

// BenchmarkBytes measures the server's memory for a delivery with the default
// prefix. It reports the server's own figure for one key, and the memory of
// 100,000 keys divided by their number, which includes the tables of keys and
// expiries.
func BenchmarkBytes(b *testing.B) {
	const n = 100_000
	client := newClient(b, options(b, servicetest.StartRedis(b, "--appendonly", "no").URL()))
	x := &bench{client: client, store: newStore(b, client), prefix: redisdedupe.DefaultPrefix}
	ctx := b.Context()
	for b.Loop() {
		require.NoError(b, client.FlushAll(ctx).Err())
		x.last.Store(0)
		before := usedMemory(b, client)
		for range n {
			x.handle(ctx)
		}
		b.ReportMetric(float64(usedMemory(b, client)-before)/n, "B/ID")
		b.ReportMetric(float64(client.MemoryUsage(ctx, x.name(dedupe.NewKey("bench", "acme", "1"))).Val()), "B/completed")
		c := claim(b, x.store, x.key(), time.Minute)
		b.ReportMetric(float64(client.MemoryUsage(ctx, x.name(c.Key)).Val()), "B/claimed")
	}
}

func usedMemory(b *testing.B, client *redis.Client) int64 {
	info, err := client.Info(b.Context(), "memory").Result()
	require.NoError(b, err)
	_, after, _ := strings.Cut(info, "used_memory:")
	used, err := strconv.ParseInt(after[:strings.IndexAny(after, "\r\n")], 10, 64)
	require.NoError(b, err)
	return used
}
