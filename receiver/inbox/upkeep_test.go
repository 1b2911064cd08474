package inbox

import (
	"bytes"
	"context"
	"log/slog"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/contain"
)

// An inbox without a database panics in every run of its upkeep. Each panic is
// counted and logged, and the next run follows.
func TestUpkeep_ContinuesAfterPanics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		in := &Inbox{config: config{
			faults: contain.New("inbox", slog.NewTextHandler(&log, nil)), retention: time.Hour, rescueAfter: 4 * time.Second, ordering: true,
		}}
		in.leases.held = map[int64]*lease{1: {}}
		u := in.startUpkeep(t.Context())
		time.Sleep(time.Minute + time.Millisecond)
		u.end()
		require.Equal(t, map[string]uint64{inPruning: 1, inRenewing: 60}, in.faults.Counts())
		require.Equal(t, 1, strings.Count(log.String(), `in="renewing leases" fault="panicked: runtime error: invalid memory address`), log.String())

		rounds := 0
		ctx, cancel := context.WithCancel(t.Context())
		go in.every(ctx, time.Second, "exit", func(context.Context) { rounds++; runtime.Goexit() })
		time.Sleep(10*time.Second + time.Millisecond)
		cancel()
		synctest.Wait()
		require.Equal(t, 10, rounds)
		require.EqualValues(t, 10, in.faults.Counts()["exit"])
	})
}
