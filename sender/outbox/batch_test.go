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

	"github.com/deployhook/deployhook/internal/contain"
	"github.com/deployhook/deployhook/internal/sqldb"
)

// testBatcher returns a batcher of do whose first batch, of the item -1, lasts
// until proceed is closed.
func testBatcher(do func(ctx context.Context, items []int) ([]int, error)) (b *sqldb.Combiner[int, int], proceed chan struct{}) {
	proceed = make(chan struct{})
	return newBatcher(contain.New("outbox", nil), "batch", func(ctx context.Context, items []int) ([]int, error) {
		if items[0] == -1 {
			<-proceed
			return items, nil
		}
		return do(ctx, items)
	}), proceed
}

// oneBatch makes n calls that are all in one batch, and returns their errors.
// It runs in a synctest bubble.
func oneBatch(t *testing.T, n int, do func(ctx context.Context, items []int) ([]int, error)) []error {
	b, proceed := testBatcher(do)
	errs := make([]error, n)
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = b.Do(t.Context(), -1) })
	synctest.Wait()
	for i := range n {
		wg.Go(func() { _, errs[i] = b.Do(t.Context(), i) })
	}
	synctest.Wait()
	close(proceed)
	wg.Wait()
	return errs
}

func TestOneBadItemFailsAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		errBad := errors.New("bad")
		batches := 0
		for i, err := range oneBatch(t, 8, func(_ context.Context, items []int) ([]int, error) {
			if len(items) == 8 {
				batches++
			}
			if slices.Contains(items, 3) {
				return nil, errBad
			}
			return items, nil
		}) {
			if i == 3 {
				require.ErrorIs(t, err, errBad)
			} else {
				require.NoError(t, err)
			}
		}
		require.Equal(t, 1, batches)
	})
}

// A database that does not answer in time is not asked again for each call of
// the batch. The calls would wait for one timeout after the other.
func TestBatcher_TimeoutFailsTheWholeBatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin, rounds := time.Now(), 0
		for _, err := range oneBatch(t, 8, func(ctx context.Context, _ []int) ([]int, error) {
			rounds++
			ctx, cancel := context.WithTimeout(ctx, batchTimeout) // as load and save do
			defer cancel()
			<-ctx.Done()
			return nil, fmt.Errorf("reading: %w", ctx.Err())
		}) {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		require.Equal(t, 1, rounds)
		require.Equal(t, batchTimeout, time.Since(begin))
	})
}
