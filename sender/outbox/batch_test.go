package outbox

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
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

func TestOneBadItemFailsAlone(t *testing.T) {
	t.Parallel()
	errBad := errors.New("bad")
	b := newBatcher(8, func(_ context.Context, items []int) ([]int, error) {
		if slices.Contains(items, 3) {
			return nil, errBad
		}
		return items, nil
	})
	ctx, stop := context.WithCancel(t.Context())
	var failed atomic.Int64
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := b.call(ctx, i); errors.Is(err, errBad) {
				failed.Add(1)
			}
		})
	}
	for len(b.in) < 8 {
		time.Sleep(time.Millisecond)
	}
	b.start(ctx)
	wg.Wait()
	require.Equal(t, int64(1), failed.Load())
	stop()
	b.wait()
}
