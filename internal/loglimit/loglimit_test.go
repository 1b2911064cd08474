package loglimit_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/loglimit"
)

func TestLimiter_WritesBurstAndThenTheRate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := loglimit.New(3, time.Second)
		written, leftOut := 0, uint64(0)
		for range 1000 { // 10 seconds of 100 lines each
			if left, allowed := l.Allow("a"); allowed {
				written++
				leftOut += left
			}
			time.Sleep(10 * time.Millisecond)
		}
		require.Equal(t, 3+9, written)
		left, allowed := l.Allow("a")
		require.True(t, allowed)
		require.Equal(t, uint64(1000-written), leftOut+left, "each line is written or counted")

		time.Sleep(time.Hour)
		for i := range 4 {
			_, allowed := l.Allow("a")
			require.Equal(t, i < 3, allowed, "after a pause there is a burst again")
		}
		_, allowed = l.Allow("b")
		require.True(t, allowed, "another kind has its own bucket")
	})
}

func TestLimiter_BoundsItsKinds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		l := loglimit.New(1, time.Hour)
		written := 0
		for i := range 10_000 {
			if _, allowed := l.Allow(fmt.Sprint(i)); allowed {
				written++
			}
		}
		require.Less(t, written, 100)
	})
}

func TestHandler(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(loglimit.New(2, time.Minute).Handler(slog.NewTextHandler(&out, nil)))
		for i := range 10 {
			logger.Info("fine")
			logger.With("i", i).Warn("slow")
			logger.WithGroup("g").Error("lost", "i", i)
		}
		require.Equal(t, 10, strings.Count(out.String(), "msg=fine"))
		require.Equal(t, 2, strings.Count(out.String(), "msg=slow"))
		require.Equal(t, 2, strings.Count(out.String(), "msg=lost"))
		require.NotContains(t, out.String(), "left_out")
		time.Sleep(time.Minute)
		logger.Warn("slow")
		require.Contains(t, out.String(), "level=WARN msg=slow left_out=8\n")
	})
}

func TestOneKind(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	logger := slog.New(loglimit.New(2, time.Hour).OneKind(slog.NewTextHandler(&out, nil)))
	for i := range 10 {
		logger.Warn(fmt.Sprint("handshake error from port ", i))
	}
	require.Equal(t, 2, strings.Count(out.String(), "\n"))
}
