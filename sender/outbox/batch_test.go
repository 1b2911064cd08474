package outbox

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestConcurrentCallsShareABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var batches [][]int
		b := newBatcher(8, func(_ context.Context, items []int) ([]int, error) {
			batches = append(batches, slices.Clone(items))
			time.Sleep(time.Millisecond)
			out := make([]int, len(items))
			for i, item := range items {
				out[i] = 2 * item
			}
			return out, nil
		})
		ctx, stop := context.WithCancel(t.Context())
		b.start(ctx)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				got, err := b.call(ctx, i)
				if err != nil || got != 2*i {
					t.Error(got, err)
				}
			})
		}
		wg.Wait()
		require.LessOrEqual(t, len(batches), 4, "1, 8, 8 and the rest")
		for _, batch := range batches {
			require.LessOrEqual(t, len(batch), 8)
		}
		stop()
		b.wait()
		_, err := b.call(context.WithoutCancel(ctx), 1)
		require.ErrorIs(t, err, errStopped)
		_, err = b.call(ctx, 1)
		require.Error(t, err)
	})
}

// startFull fills the batcher's channel with n calls and then starts it, so
// that all of them are in one batch. It returns their errors. It runs in a
// synctest bubble.
func startFull(t *testing.T, b *batcher[int, int], n int) []error {
	ctx, stop := context.WithCancel(t.Context())
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { _, errs[i] = b.call(ctx, i) })
	}
	synctest.Wait()
	require.Len(t, b.in, n)
	b.start(ctx)
	wg.Wait()
	stop()
	b.wait()
	return errs
}

func TestOneBadItemFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBad := errors.New("bad")
		b := newBatcher(8, func(_ context.Context, items []int) ([]int, error) {
			if slices.Contains(items, 3) {
				return nil, errBad
			}
			return items, nil
		})
		for i, err := range startFull(t, b, 8) {
			if i == 3 {
				require.ErrorIs(t, err, errBad)
			} else {
				require.NoError(t, err)
			}
		}
	})
}

// A database that does not answer in time is not asked again for each call of
// the batch. The calls would wait for one timeout after the other.
func TestBatcher_TimeoutFailsTheWholeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, rounds := time.Now(), 0
		b := newBatcher(8, func(ctx context.Context, _ []int) ([]int, error) {
			rounds++
			ctx, cancel := context.WithTimeout(ctx, batchTimeout)
			defer cancel()
			<-ctx.Done()
			return nil, fmt.Errorf("reading: %w", ctx.Err())
		})
		for _, err := range startFull(t, b, 8) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 1, rounds)
		require.Equal(t, batchTimeout, time.Since(begin))
	})
}
