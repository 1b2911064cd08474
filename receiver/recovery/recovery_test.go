package recovery_test

import (
	"context"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/recoverytest"
	"github.com/deployhook/deployhook/receiver/recovery"
)

// everyFault is all that goes wrong with an API.
var everyFault = recoverytest.Faults{ServerErrors: 17, LostReads: 23, LostAsks: 7, Secondary: 11, PerHour: 150, Arrivals: 3}

// One process asks once for each missed delivery, no matter what the API does,
// and each is handled once.
func TestGitHub_EachMissedDeliveryIsHandledOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitHub(t)
		api.Faults, api.Delay = everyFault, 2*time.Minute
		missed := publish(api, *deliveries)
		before := api.Requests()
		started := time.Now()
		c := newClient(t, repository, api)
		result, last, runs := untilNothingIsMissed(t, c)
		require.Empty(t, api.Violations())
		require.Zero(t, api.Needless())
		asked := api.Asked()
		require.Len(t, asked, len(missed))
		for _, guid := range missed {
			require.Equal(t, 1, asked[guid], guid)
		}
		requireAllHandled(t, api, h)
		require.Equal(t, 15*time.Minute, last.Sub(result.CompleteUntil))
		t.Logf("%d missed of %d: %d runs, %d requests, %v", len(missed), *deliveries, runs, api.Requests()-before, time.Since(started))
	})
}

// requireAllHandled requires that each event was handled once, with those that
// arrived during the test.
func requireAllHandled(t *testing.T, api *recoverytest.GitHub, h *handled) {
	t.Helper()
	h.requireOnce(t, api.Events())
}

// untilNothingIsMissed makes runs until nothing is missed. It returns the last
// result, the start of that run, and the number of runs.
func untilNothingIsMissed(t *testing.T, c *recovery.Client) (result recovery.Result, last time.Time, runs int) {
	t.Helper()
	for runs = 1; runs <= 20; runs++ {
		last = time.Now()
		result, err := c.Recover(t.Context())
		require.NoError(t, err)
		if result.Count() == 0 {
			return result, last, runs
		}
		time.Sleep(20 * time.Minute) // in the bubble of the caller
	}
	t.Fatal("something is still missed after 20 runs")
	return result, last, runs
}

// Processes that are killed in the middle leave nothing behind that the next
// one needs. A delivery may then be asked for twice, but is handled once.
func TestGitHub_Restarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitHub(t)
		api.Faults, api.Delay = everyFault, 2*time.Minute
		missed := publish(api, *deliveries)
		requests := 0
		var kill context.CancelFunc
		api.After = func(*http.Request) {
			if requests++; requests%(*deliveries/55) == 0 {
				kill()
			}
		}
		restarts := 0
		for ; restarts < 8; restarts++ {
			ctx, cancel := context.WithCancel(t.Context())
			kill = cancel
			_, err := newClient(t, repository, api).Recover(ctx)
			cancel()
			if err == nil {
				break
			}
			require.ErrorIs(t, err, context.Canceled)
		}
		require.Greater(t, restarts, 2)
		api.After = nil
		untilNothingIsMissed(t, newClient(t, repository, api))
		require.Empty(t, api.Violations())
		asks := 0
		for _, n := range api.Asked() {
			asks += n
		}
		require.Len(t, api.Asked(), len(missed))
		requireAllHandled(t, api, h)
		t.Logf("%d missed, %d restarts, %d asks, %d of them needless", len(missed), restarts, asks, api.Needless())
	})
}

// GitLab sends with the request, permits five a minute, and stores a changed
// body.
func TestGitLab_EachMissedDeliveryIsHandledOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitLab(t)
		api.Faults = everyFault
		api.Secondary, api.PerHour = 0, 400
		n := *deliveries
		missed := publish(api, n)
		started := time.Now()
		result, last, runs := untilNothingIsMissed(t, newClient(t, project, api))
		require.Empty(t, api.Violations())
		require.Zero(t, api.Needless())
		require.Len(t, api.Asked(), len(missed))
		h.requireOnce(t, api.Events())
		require.Zero(t, api.Lost)
		require.Equal(t, 15*time.Minute, last.Sub(result.CompleteUntil))
		t.Logf("%d missed of %d: %d runs, %d requests, %v", len(missed), n, runs, api.Requests(), time.Since(started))
	})
}

func TestGitLab_Restarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitLab(t)
		api.Faults = recoverytest.Faults{LostAsks: 5, Arrivals: 2}
		publish(api, 1000)
		requests := 0
		var kill context.CancelFunc
		api.After = func(*http.Request) {
			if requests++; requests%60 == 0 {
				kill()
			}
		}
		restarts := 0
		for ; restarts < 5; restarts++ {
			ctx, cancel := context.WithCancel(t.Context())
			kill = cancel
			_, err := newClient(t, project, api).Recover(ctx)
			cancel()
			if err == nil {
				break
			}
		}
		require.Greater(t, restarts, 0)
		api.After = nil
		untilNothingIsMissed(t, newClient(t, project, api))
		h.requireOnce(t, api.Events())
	})
}
