package sqldb

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
)

// slowly doubles numbers, with one second per run, and records how many items
// came together.
func slowly(runs *[]int) *Combiner[int, int] {
	var mu sync.Mutex
	return &Combiner[int, int]{
		Faults: contain.New("test", nil), In: "batch",
		Most: 10, Width: 1, Timeout: time.Minute, Alone: func(error) bool { return true },
		Run: func(ctx context.Context, items []int) ([]int, error) {
			mu.Lock()
			*runs = append(*runs, len(items))
			mu.Unlock()
			select {
			case <-time.After(time.Second):
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			doubled := make([]int, len(items))
			for i, n := range items {
				if n < 0 {
					return nil, errors.New("negative")
				}
				if n == 666 {
					panic("oh")
				}
				doubled[i] = 2 * n
			}
			return doubled, nil
		},
	}
}

func never(error) bool { return false }

func TestCombiner_RunsWaitingCallsTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs []int
		c := slowly(&runs)
		var all sync.WaitGroup
		for n := range 25 {
			all.Go(func() {
				got, err := c.Do(t.Context(), n)
				assert.NoError(t, err)
				assert.Equal(t, 2*n, got)
			})
		}
		all.Wait()
		assert.LessOrEqual(t, len(runs), 4, "%v", runs)
		assert.LessOrEqual(t, slices.Max(runs), 10)
		_, err := c.Do(t.Context(), 1)
		require.NoError(t, err, "it is free again")
	})
}

func TestCombinerKeepsBadItemsApart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs []int
		c := slowly(&runs)
		var all sync.WaitGroup
		for _, n := range []int{1, -2, 3, 666, 5} {
			all.Go(func() {
				got, err := c.Do(t.Context(), n)
				if n < 0 || n == 666 {
					assert.Error(t, err)
					return
				}
				assert.NoError(t, err)
				assert.Equal(t, 2*n, got)
			})
		}
		all.Wait()
	})
}

func TestCombinerLetsCallersLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs []int
		c := slowly(&runs)
		c.Most = 1
		var all sync.WaitGroup
		for n := range 6 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(500+1000*n)*time.Millisecond)
			defer cancel()
			if n%2 == 0 {
				ctx, cancel = context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
			}
			all.Go(func() {
				begin := time.Now()
				got, err := c.Do(ctx, n)
				if err != nil {
					assert.ErrorIs(t, err, context.DeadlineExceeded)
					deadline, _ := ctx.Deadline()
					assert.Equal(t, deadline, time.Now(), "at once")
					return
				}
				assert.Equal(t, 2*n, got)
				assert.LessOrEqual(t, time.Since(begin), 6*time.Second)
			})
		}
		all.Wait()
		assert.Zero(t, c.busy)
		assert.Empty(t, c.queue)
	})
}

// The run continues for the other callers after the context of its leader has
// ended.
func TestCombinerRunOutlivesItsLeadersContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs []int
		c := slowly(&runs)
		c.Alone = never
		leaving, leave := context.WithCancel(t.Context())
		defer leave()
		var all sync.WaitGroup
		call := func(ctx context.Context, n int) {
			all.Go(func() {
				got, err := c.Do(ctx, n)
				assert.NoError(t, err, n)
				assert.Equal(t, 2*n, got)
			})
			synctest.Wait() // so that they queue in this order
		}
		call(t.Context(), 1)
		call(leaving, 2) // leads the next run
		call(t.Context(), 3)
		time.Sleep(1500 * time.Millisecond)
		leave()
		all.Wait()
		assert.Equal(t, []int{1, 2}, runs)
	})
}

func TestCombinerBoundsARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var runs []int
		c := slowly(&runs)
		c.Timeout, c.Alone = 100*time.Millisecond, never
		begin := time.Now()
		_, err := c.Do(t.Context(), 1)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, 100*time.Millisecond, time.Since(begin))
	})
}
