package timemath_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/timemath"
)

const longest = time.Duration(math.MaxInt64)

func TestElapsed(t *testing.T) {
	t.Parallel()
	now := time.Now()
	require.Equal(t, time.Second, timemath.Elapsed(now, now.Add(time.Second)))
	require.Zero(t, timemath.Elapsed(now, now))
	require.Zero(t, timemath.Elapsed(now.Add(time.Nanosecond), now))
	require.Equal(t, longest, timemath.Elapsed(time.Time{}, now))
	require.Zero(t, timemath.Elapsed(now, time.Time{}))
}

func TestAdd(t *testing.T) {
	t.Parallel()
	require.Equal(t, 3*time.Second, timemath.Add(time.Second, 2*time.Second))
	require.Equal(t, longest, timemath.Add(longest, 0))
	require.Equal(t, longest, timemath.Add(longest, 1))
	require.Equal(t, longest, timemath.Add(longest, longest))
	require.Equal(t, time.Second, timemath.Add(time.Second, -1))
	require.Zero(t, timemath.Add(math.MinInt64, math.MinInt64))
}

func TestTimes(t *testing.T) {
	t.Parallel()
	require.Equal(t, 6*time.Second, timemath.Times(2*time.Second, 3))
	require.Equal(t, longest, timemath.Times(longest, 1))
	require.Equal(t, longest, timemath.Times(longest, 2))
	require.Equal(t, longest, timemath.Times(1<<40, 1<<30))
	require.Zero(t, timemath.Times(longest, 0))
	require.Zero(t, timemath.Times(time.Second, -1))
	require.Zero(t, timemath.Times(-time.Second, 2))
}
