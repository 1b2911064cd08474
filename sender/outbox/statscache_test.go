package outbox

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
)

// slowStats is a cache of figures whose reads take some time.
type slowStats struct {
	*statsCache
	t     *testing.T
	takes time.Duration
	reads atomic.Int64

	mu    sync.Mutex
	fails error
	hangs bool // until its context ends
}

// let changes how the next reads end.
func (c *slowStats) let(fail error, hang bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails, c.hangs = fail, hang
}

// slowly returns a cache for a test whose clock does not run while something
// happens.
func slowly(t *testing.T, takes time.Duration) *slowStats {
	c := &slowStats{t: t, takes: takes}
	c.statsCache = newStatsCache(c.read, contain.New("outbox", nil))
	t.Cleanup(c.close)
	return c
}

func (c *slowStats) read(ctx context.Context, _ scope) (Stats, error) {
	n, s := c.reads.Add(1), Stats{AsOf: time.Now()}
	c.mu.Lock()
	fails, hangs := c.fails, c.hangs
	c.mu.Unlock()
	if hangs {
		<-ctx.Done()
		return Stats{}, ctx.Err()
	}
	time.Sleep(c.takes) // the clock of a synctest bubble
	if fails != nil {
		return Stats{}, fails
	}
	s.Pending = Count{N: int(n)}
	return s, nil
}

// ask makes a call. It returns which read its figures are of, and how long it
// took.
func (c *slowStats) ask(of scope) (read int, took time.Duration) {
	c.t.Helper()
	begin := time.Now()
	s, err := c.get(c.t.Context(), of)
	require.NoError(c.t, err)
	require.LessOrEqual(c.t, begin.Sub(s.AsOf), StatsAge)
	return s.Pending.N, time.Since(begin)
}

func (c *slowStats) scopes() []scope {
	c.statsCache.mu.Lock()
	defer c.statsCache.mu.Unlock()
	return slices.Collect(maps.Keys(c.all))
}

func TestStatsCache_SharesReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, time.Second)
		var calls sync.WaitGroup
		for range 3 {
			calls.Go(func() {
				read, took := c.ask(scope{})
				assert.Equal(t, 1, read)
				assert.Equal(t, time.Second, took)
			})
		}
		calls.Wait()
		read, _ := c.ask(scope{app: "shop"})
		require.Equal(t, 2, read)
		read, took := c.ask(scope{})
		require.Equal(t, 1, read)
		require.Zero(t, took)
	})
}

// A caller that asks now and then waits only for the first figures.
func TestStatsCache_RefreshesInBackground(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, 700*time.Millisecond)
		c.ask(scope{})
		for _, pause := range []time.Duration{time.Second, 4 * time.Second, 5 * time.Second, 7 * time.Second, refreshFor - time.Second} {
			for range 5 {
				time.Sleep(pause)
				_, took := c.ask(scope{})
				require.Zero(t, took, pause)
			}
		}
	})
}

func TestStatsCache_RestsWhenNothingIsAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, 100*time.Millisecond)
		for range 2 {
			before := c.reads.Load()
			_, took := c.ask(scope{})
			require.Equal(t, c.takes, took)
			time.Sleep(refreshFor + refreshAfter)
			reads := c.reads.Load()
			require.InDelta(t, refreshFor/refreshAfter, reads-before, 2)
			time.Sleep(time.Hour)
			require.Equal(t, reads, c.reads.Load())
			require.Empty(t, c.scopes())
		}
	})
}

// If the database is too slow, calls wait instead of getting old figures. The
// pause between background reads grows with their duration.
func TestStatsCache_SlowReads(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, 6*time.Second)
		begin, waited := time.Now(), false
		for time.Since(begin) < time.Minute {
			_, took := c.ask(scope{})
			require.LessOrEqual(t, took, 2*c.takes)
			waited = waited || took > 0
			time.Sleep(time.Second)
		}
		require.True(t, waited)
		before := c.reads.Load()
		time.Sleep(refreshFor)
		require.LessOrEqual(t, c.reads.Load()-before, int64(refreshFor/((1+refreshShare)*c.takes)+1))
	})
}

// Many scopes share the background reads, which take a bounded part of the
// time. The cache forgets those that were asked for first.
func TestStatsCache_ManyScopes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, 10*time.Millisecond)
		of := func(i int) scope { return scope{app: fmt.Sprint(i)} }
		for i := range maxCachedStats + 50 {
			c.ask(of(i))
		}
		require.Len(t, c.scopes(), maxCachedStats)
		require.NotContains(t, c.scopes(), of(49))
		before := c.reads.Load()
		time.Sleep(10 * time.Second)
		require.InDelta(t, 10*time.Second/((1+refreshShare)*c.takes), c.reads.Load()-before, 5)
		_, took := c.ask(of(maxCachedStats + 49))
		require.Zero(t, took, "the last one is refreshed first")
	})
}

func TestStatsCache_Errors(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, time.Second)
		failed := errors.New("failed")
		c.let(failed, false)
		_, err := c.get(t.Context(), scope{})
		require.ErrorIs(t, err, failed)
		time.Sleep(time.Hour)
		require.EqualValues(t, 1, c.reads.Load(), "an error is not tried again in the background")
		c.let(nil, false)
		read, _ := c.ask(scope{})
		require.Equal(t, 2, read)

		time.Sleep(time.Second)
		c.let(failed, false)
		time.Sleep(refreshAfter)
		require.EqualValues(t, 3, c.reads.Load())
		c.let(nil, false)
		read, took := c.ask(scope{})
		require.Equal(t, 2, read, "the figures before the error are recent enough")
		require.Zero(t, took)
	})
}

// The read of a call whose context ends continues for the others.
func TestStatsCache_ContextOfOneCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), c.takes/2)
		defer cancel()
		var other sync.WaitGroup
		other.Go(func() {
			time.Sleep(c.takes / 4)
			read, _ := c.ask(scope{})
			assert.Equal(t, 1, read)
		})
		_, err := c.get(ctx, scope{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		other.Wait()
	})
}

func TestStatsCache_Closes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, 0)
		c.ask(scope{})
		c.let(nil, true)
		var calls sync.WaitGroup
		calls.Go(func() {
			_, err := c.get(t.Context(), scope{app: "shop"})
			assert.ErrorIs(t, err, ErrClosed)
		})
		time.Sleep(refreshAfter + time.Second)
		require.EqualValues(t, 3, c.reads.Load(), "one of the call, one in the background")
		c.close()
		calls.Wait()
		_, err := c.get(t.Context(), scope{app: "another"})
		require.ErrorIs(t, err, ErrClosed)
	})
}

func TestStatsCache_HangingReadFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := slowly(t, 0)
		c.let(nil, true)
		_, err := c.get(t.Context(), scope{})
		require.ErrorIs(t, err, context.DeadlineExceeded)
		c.let(nil, false)
		c.ask(scope{})
	})
}
