package dedupe_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/dedupe"
)

func numbered(n int) dedupe.Key { return dedupe.NewKey("test", "", fmt.Sprint(n)) }

func claim(t testing.TB, s dedupe.Store, k dedupe.Key, want dedupe.State) dedupe.Claim {
	t.Helper()
	c, err := s.Claim(t.Context(), k, time.Minute)
	require.NoError(t, err)
	require.Equal(t, want, c.State)
	return c
}

func handle(t testing.TB, s dedupe.Store, k dedupe.Key) {
	t.Helper()
	require.NoError(t, s.Complete(t.Context(), claim(t, s, k, dedupe.Claimed)))
}

func TestDefaults(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	require.Equal(t, 48*time.Hour, m.TTL())
	require.Equal(t, 1<<20, m.Capacity())
	require.Zero(t, m.Len())
	m = newMemory(t, dedupe.WithTTL(time.Hour), dedupe.WithCapacity(7))
	require.Equal(t, time.Hour, m.TTL())
	require.Equal(t, 7, m.Capacity())
	m = newMemory(t, dedupe.WithTTL(dedupe.MinTTL), dedupe.WithCapacity(math.MaxInt32))
	require.Equal(t, time.Second, m.TTL())
	require.Equal(t, math.MaxInt32, m.Capacity())
}

// Ready says whether a new delivery would be taken, and leaves nothing behind.
func TestMemory_Ready(t *testing.T) {
	t.Parallel()
	m := newMemory(t, dedupe.WithCapacity(1))
	require.NoError(t, m.Ready(t.Context()))
	require.Zero(t, m.Len())
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, m.Ready(canceled), context.Canceled)
	handle(t, m, numbered(1))
	require.ErrorIs(t, m.Ready(t.Context()), dedupe.ErrFull)
	require.NoError(t, m.Close())
	require.ErrorIs(t, m.Ready(t.Context()), dedupe.ErrClosed)
	require.ErrorIs(t, (*dedupe.Memory)(nil).Ready(t.Context()), dedupe.ErrInvalid)
}

func TestConfigurationErrorsNameTheOptionAndTheWayOut(t *testing.T) {
	t.Parallel()
	for want, opts := range map[string][]dedupe.MemoryOption{
		"WithTTL(48ns): must be at least 1s; use a number with a unit, such as 48*time.Hour, or leave it out for": {dedupe.WithTTL(48)},
		"WithTTL(-1h0m0s): must be at least 1s":                                            {dedupe.WithTTL(-time.Hour)},
		"WithTTL(999.999999ms): must be at least 1s":                                       {dedupe.WithTTL(time.Second - 1)},
		"WithCapacity(-1): must be between 1 and 2147483647; use the number of deliveries": {dedupe.WithCapacity(-1)},
		"WithCapacity(9223372036854775807): must be between 1 and":                         {dedupe.WithCapacity(math.MaxInt)},
		"an option is nil; leave it out":                                                   {nil},
		"WithTTL(0s): must be at least 1s":                                                 {dedupe.WithTTL(0)},
		"WithCapacity(0): must be between 1":                                               {dedupe.WithCapacity(0)},
	} {
		m, err := dedupe.NewMemory(opts...)
		require.ErrorContains(t, err, want)
		require.Nil(t, m)
	}
	_, err := dedupe.NewMemory(dedupe.WithTTL(1), dedupe.WithCapacity(-5))
	require.ErrorContains(t, err, "WithTTL(1ns)")
	require.ErrorContains(t, err, "WithCapacity(-5)", "all problems are reported at once")
}

func TestErrorsOfArgumentsSayWhatToDo(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	_, err := m.Claim(t.Context(), numbered(1), 0)
	require.EqualError(t, err, "dedupe: invalid argument: the lease is 0s; it must be greater than zero, and longer than the handler takes")
	_, err = m.Claim(t.Context(), dedupe.Key{}, time.Minute)
	require.EqualError(t, err, "dedupe: invalid argument: the key is zero; create it with NewKey")
	require.EqualError(t, m.Complete(t.Context(), dedupe.Claim{Key: numbered(1), State: dedupe.InFlight}),
		"dedupe: invalid argument: the claim has state in-flight and token 0, "+
			"but must be one that Store.Claim returned with state claimed")
	require.Zero(t, m.Len())
}

func TestClosedStoreRefuses(t *testing.T) {
	t.Parallel()
	m := newMemory(t)
	handle(t, m, numbered(0))
	c := claim(t, m, numbered(1), dedupe.Claimed)
	require.Equal(t, 2, m.Len())
	require.NoError(t, m.Close())
	require.NoError(t, m.Close())

	require.Zero(t, m.Len())
	_, err := m.Claim(t.Context(), numbered(1), time.Minute)
	require.ErrorIs(t, err, dedupe.ErrClosed)
	require.ErrorIs(t, m.Complete(t.Context(), c), dedupe.ErrClosed)
	require.ErrorIs(t, m.Release(t.Context(), c), dedupe.ErrClosed)
	require.ErrorIs(t, m.Renew(t.Context(), c, time.Minute), dedupe.ErrClosed)
	require.Zero(t, m.Len())
}

// The capacity applies to the whole store. An uneven distribution over its
// shards must not refuse a key for which there is room.
func TestCapacityIsExact(t *testing.T) {
	t.Parallel()
	for _, capacity := range []int{1, 2, 63, 64, 65, 1000, 10_000} {
		m := newMemory(t, dedupe.WithCapacity(capacity))
		for i := range capacity {
			handle(t, m, numbered(i))
		}
		require.Equal(t, capacity, m.Len())
		for i := range capacity {
			_, err := m.Claim(t.Context(), numbered(capacity+i), time.Minute)
			require.ErrorIs(t, err, dedupe.ErrFull)
			claim(t, m, numbered(i), dedupe.Completed)
		}
		require.Equal(t, capacity, m.Len())
	}
}

func TestFullStoreHasRoomAgainAsKeysExpire(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const capacity = 100
		m := newMemory(t, dedupe.WithTTL(time.Hour), dedupe.WithCapacity(capacity))
		for i := range capacity {
			handle(t, m, numbered(i))
			time.Sleep(time.Second)
		}
		_, err := m.Claim(t.Context(), numbered(-1), time.Minute)
		require.ErrorIs(t, err, dedupe.ErrFull)
		time.Sleep(time.Hour - capacity*time.Second)
		// One key expires every second, and exactly one new key can replace it,
		// no matter which shards the two are in.
		for i := range capacity {
			handle(t, m, numbered(capacity+i))
			_, err := m.Claim(t.Context(), numbered(-1), time.Minute)
			require.ErrorIs(t, err, dedupe.ErrFull)
			time.Sleep(time.Second)
		}
		require.Equal(t, capacity, m.Len())
	})
}

// The completion of a late holder whose room is taken cannot be remembered, so
// it must return an error.
func TestLateCompletionInAFullStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, dedupe.WithTTL(time.Hour), dedupe.WithCapacity(1))
		late := claim(t, m, numbered(0), dedupe.Claimed)
		time.Sleep(time.Minute)
		other := claim(t, m, numbered(1), dedupe.Claimed)
		require.ErrorIs(t, m.Complete(t.Context(), late), dedupe.ErrFull)
		require.NoError(t, m.Complete(t.Context(), other))
		time.Sleep(time.Hour)
		require.NoError(t, m.Complete(t.Context(), late), "there is room again")
		claim(t, m, numbered(0), dedupe.Completed)
	})
}

func TestVeryLongLeasesDoNotOverflow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory(t, dedupe.WithTTL(math.MaxInt64))
		time.Sleep(time.Hour)
		c, err := m.Claim(t.Context(), numbered(0), math.MaxInt64)
		require.NoError(t, err)
		claim(t, m, numbered(0), dedupe.InFlight)
		require.NoError(t, m.Renew(t.Context(), c, math.MaxInt64))
		claim(t, m, numbered(0), dedupe.InFlight)
		require.NoError(t, m.Complete(t.Context(), c))
		time.Sleep(1000 * time.Hour)
		claim(t, m, numbered(0), dedupe.Completed)
	})
}

// The callers together claim more keys than there is room for.
func TestCapacityHoldsUnderConcurrency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const capacity, callers, each = 500, 8, 200
		m := newMemory(t, dedupe.WithTTL(time.Hour), dedupe.WithCapacity(capacity))
		for round := range 3 {
			var claimed, refused atomic.Int64
			var all sync.WaitGroup
			for caller := range callers {
				all.Go(func() {
					for i := range each {
						k := numbered((round*callers+caller)*each + i)
						c, err := m.Claim(t.Context(), k, time.Minute)
						switch {
						case err == nil && m.Complete(t.Context(), c) == nil:
							claimed.Add(1)
						case err == dedupe.ErrFull:
							refused.Add(1)
						}
						if n := m.Len(); n > capacity {
							t.Errorf("%d keys in a store for %d", n, capacity)
						}
					}
				})
			}
			all.Wait()
			require.EqualValues(t, callers*each, claimed.Load()+refused.Load(), "every call returns a valid result")
			require.EqualValues(t, capacity, claimed.Load())
			require.Equal(t, capacity, m.Len())
			time.Sleep(time.Hour)
		}
	})
}

// Callers claim, renew, complete and release the same keys while others close
// the store.
func TestCloseDuringCalls(t *testing.T) {
	t.Parallel()
	m := newMemory(t, dedupe.WithCapacity(1000))
	ctx := context.WithoutCancel(t.Context())
	var all sync.WaitGroup
	for caller := range 8 {
		all.Go(func() {
			for i := range 2000 {
				c, err := m.Claim(ctx, numbered(i%1500), time.Minute)
				if err == nil && c.State == dedupe.Claimed && i%3 == caller%3 {
					err = m.Release(ctx, c)
				} else if err == nil && c.State == dedupe.Claimed {
					err = m.Complete(ctx, c)
				}
				if err == dedupe.ErrClosed {
					return
				}
			}
		})
	}
	all.Go(func() { _ = m.Close() })
	all.Wait()
	require.Zero(t, m.Len())
}

// A resource that keeps the greatest token of a key must accept the retry after
// a restart, when the memory is empty.
func TestMemory_TokensRiseAcrossRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var latest dedupe.Token
		for range 5 {
			m, err := dedupe.NewMemory()
			require.NoError(t, err)
			for range 100 {
				c, err := m.Claim(t.Context(), dedupe.NewKey("test", "tenant", "1"), time.Minute)
				require.NoError(t, err)
				require.Greater(t, c.Token, latest)
				latest = c.Token
				require.NoError(t, m.Release(t.Context(), c))
			}
			require.NoError(t, m.Close())
			time.Sleep(time.Millisecond)
		}
	})
}

func TestMemory_ZeroValueNamesItsConstructor(t *testing.T) {
	t.Parallel()
	c := dedupe.Claim{Key: dedupe.NewKey("test", "tenant", "1"), State: dedupe.Claimed, Token: 1}
	for _, m := range []*dedupe.Memory{nil, {}} {
		_, err := m.Claim(t.Context(), c.Key, time.Minute)
		for _, err := range []error{err, m.Renew(t.Context(), c, time.Minute), m.Complete(t.Context(), c), m.Release(t.Context(), c)} {
			require.ErrorIs(t, err, dedupe.ErrInvalid)
			require.ErrorContains(t, err, "NewMemory")
		}
		require.Zero(t, m.TTL())
		require.Zero(t, m.Capacity())
		require.Zero(t, m.Len())
		require.NoError(t, m.Close())
	}
}
