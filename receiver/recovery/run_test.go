package recovery_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/recoverytest"
	"github.com/deployhook/deployhook/receiver/recovery"
)

func TestDryRun_ListsTheOldestFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitHub(t)
		publish(api, 200)
		result, err := newClient(t, repository, api, recovery.WithDryRun()).Recover(t.Context())
		require.NoError(t, err)
		require.Empty(t, api.Asked())
		require.Equal(t, 6, result.Count(recovery.Listed))
		require.Equal(t, 6, result.Count())
		require.Equal(t, 200, result.Examined)
		first := result.Missed[0]
		require.Equal(t, "00000001-b361-11eb-836d-0e4f3503ccbe", first.GUID)
		require.Equal(t, []any{"deployment_status", "created", "failed to connect", 1, ""},
			[]any{first.Event, first.Action, first.Status, first.Attempts, first.Reason})
		require.Equal(t, first.First, result.CompleteUntil)
		require.Equal(t, result.Oldest, first.First)
		for i := range result.Missed[1:] {
			require.True(t, result.Missed[i].First.Before(result.Missed[i+1].First))
		}
		require.Equal(t, "503 Invalid HTTP Response: 503", result.Missed[1].Status)
		h.requireOnce(t, 196) // with those that timed out
	})
}

// A redelivery that is pending is not asked for again, whether it is in the log
// or not.
func TestPending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitHub(t)
		api.Delay = 10 * time.Minute
		api.Publish(recoverytest.Unreachable)
		throttled := api.Publish(recoverytest.Throttled)
		c := newClient(t, repository, api)
		result, err := c.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, recovery.Asked, result.Missed[0].Outcome)
		require.Equal(t, recovery.Pending, result.Missed[1].Outcome)
		require.Contains(t, result.Missed[1].Reason, "no result yet")
		time.Sleep(5 * time.Minute)
		result, err = c.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, result.Count(recovery.Pending))
		require.Contains(t, result.Missed[0].Reason, "was asked for")
		require.Len(t, api.Asked(), 1)
		time.Sleep(15 * time.Minute)
		result, err = c.Recover(t.Context()) // what was throttled has never come
		require.NoError(t, err)
		require.Equal(t, 1, result.Count(recovery.Asked))
		require.Equal(t, 1, api.Asked()[throttled])
		time.Sleep(15 * time.Minute)
		h.requireOnce(t, 2)
		require.Zero(t, api.Needless())
	})
}

// While the receiver is down, the asks for a delivery become rarer, and end.
func TestBackoff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, _ := newGitHub(t)
		api.Again = func(string, int) recoverytest.Way { return recoverytest.Failing }
		guid := api.Publish(recoverytest.Failing)
		var times []time.Duration
		started := time.Now()
		api.After = func(r *http.Request) {
			if r.Method == http.MethodPost {
				times = append(times, time.Since(started).Round(time.Minute))
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Hour)
		defer cancel()
		var last recovery.Result
		c := newClient(t, repository, api, recovery.WithInterval(time.Minute),
			recovery.WithObserver(func(_ context.Context, r recovery.Result, err error) {
				if err == nil { // the last one is interrupted
					last = r
				}
			}))
		require.NoError(t, c.Run(ctx))
		require.Equal(t, 9, api.Asked()[guid])
		require.Equal(t, []time.Duration{0, 5 * time.Minute, 15 * time.Minute, 35 * time.Minute}, times[:4])
		require.InDelta(t, 21, times[8].Hours(), 1)
		require.Empty(t, last.Missed, "a given-up delivery holds nothing back")
		require.Greater(t, last.CompleteUntil.Sub(started), 25*time.Hour)
	})
}

func TestRun_ReadsOnlyWhatIsNotComplete(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitHub(t)
		publish(api, 1000)
		var pages []int
		reads := 0
		api.After = func(r *http.Request) {
			if r.Method == http.MethodGet {
				reads++
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var results []recovery.Result
		observe := func(_ context.Context, r recovery.Result, err error) {
			require.NoError(t, err)
			pages, reads, results = append(pages, reads), 0, append(results, r)
			if len(pages) == 4 {
				cancel()
			}
		}
		c := newClient(t, repository, api, recovery.WithInterval(time.Hour), recovery.WithObserver(observe))
		require.NoError(t, c.Run(ctx))
		require.Equal(t, 30, results[0].Count(recovery.Asked))
		require.Equal(t, []int{10, 11, 1, 1}, pages)
		require.Zero(t, results[1].Count())
		h.requireOnce(t, 1000)
	})
}

func TestOptions_LimitARun(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, _ := newGitHub(t)
		publish(api, 200) // two days
		c := newClient(t, repository, api, recovery.WithMaxAsks(2))
		result, err := c.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int{2, 4}, []int{result.Count(recovery.Asked), result.Count(recovery.Deferred)})
		require.Contains(t, result.Missed[5].Reason, "WithMaxAsks")
		require.Equal(t, result.Missed[0].First, result.CompleteUntil)

		late := newClient(t, repository, api, recovery.WithSince(time.Now().Add(-25*time.Hour)), recovery.WithDryRun())
		result, err = late.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, 3, result.Count())

		other := newClient(t, repository, api, recovery.WithEvents("push", "ping"), recovery.WithDryRun())
		result, err = other.Recover(t.Context())
		require.NoError(t, err)
		require.Zero(t, result.Count())
		require.NotZero(t, result.Examined)

		_, err = newClient(t, repository, api, recovery.WithMaxEntries(150)).Recover(t.Context())
		require.ErrorIs(t, err, recovery.ErrTooLarge)
		require.ErrorContains(t, err, "WithSince")

		once := newClient(t, repository, api, recovery.WithMaxAttempts(1))
		result, err = once.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, 4, result.Count(recovery.Refused))
		require.Equal(t, "1 attempts failed", result.Missed[0].Reason)
	})
}

func TestRateLimit_LongerThanMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, _ := newGitHub(t)
		api.PerHour = 3
		publish(api, 1000)
		started := time.Now()
		_, err := newClient(t, repository, api, recovery.WithMaxWait(10*time.Minute)).Recover(t.Context())
		require.ErrorIs(t, err, recovery.ErrRateLimited)
		require.Zero(t, time.Since(started), "it does not wait in vain")
		require.Empty(t, api.Asked(), "nothing is asked for until the log was read")
	})
}

func TestContext_EndsEveryWait(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]recoverytest.Faults{
		"primary": {PerHour: 1}, "secondary": {Secondary: 1}, "pace": {}, "failures": {ServerErrors: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				api, _ := newGitHub(t)
				api.Faults = faults
				publish(api, 200)
				started := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
				defer cancel()
				_, err := newClient(t, repository, api).Recover(ctx)
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 1500*time.Millisecond, time.Since(started))
			})
		})
	}
}

// A second run of a client waits for the first.
func TestRecover_OneAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitHub(t)
		api.Delay = time.Minute
		publish(api, 200)
		c := newClient(t, repository, api)
		failures := make(chan error, 3)
		for range cap(failures) {
			go func() {
				_, err := c.Recover(t.Context())
				failures <- err
			}()
		}
		for range cap(failures) {
			require.NoError(t, <-failures)
		}
		require.Len(t, api.Asked(), 6)
		for guid, n := range api.Asked() {
			require.Equal(t, 1, n, guid)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		h.requireOnce(t, 200)
	})
}

func TestProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, _ := newGitHub(t)
		api.Secondary = 3
		publish(api, 200)
		var all []recovery.Progress
		c := newClient(t, repository, api, recovery.WithProgress(func(_ context.Context, p recovery.Progress) { all = append(all, p) }))
		_, err := c.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, recovery.Progress{Examined: 100}, all[0])
		require.Equal(t, recovery.Progress{Examined: 200}, all[1])
		waits := 0
		for _, p := range all {
			if !p.WaitUntil.IsZero() {
				waits++
				require.Equal(t, "the API's rate limit", p.Reason)
			}
		}
		require.Equal(t, 2, waits)
		require.Equal(t, recovery.Progress{Examined: 200, ToAsk: 6, Done: 6}, all[len(all)-1])
	})
}

// The log has one line for each run, and never the token.
func TestLogger(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, _ := newGitHub(t)
		publish(api, 200)
		var lines bytes.Buffer
		logger := recovery.WithLogger(slog.New(slog.NewTextHandler(&lines, nil)))
		c := newClient(t, repository, api, logger)
		_, err := c.Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, 1, strings.Count(lines.String(), "\n"))
		require.Contains(t, lines.String(), `log="GitHub repository acme/api, webhook 7" examined=200 missed=6 asked=6 failed=0`)
		_, err = c.Recover(t.Context()) // nothing is missed
		require.NoError(t, err)
		broken := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("down") })
		_, err = newClient(t, repository, broken, logger).Recover(t.Context())
		require.ErrorIs(t, err, recovery.ErrAPI)
		require.Equal(t, 2, strings.Count(lines.String(), "\n"))
		require.Contains(t, lines.String(), "level=WARN")
		require.NotContains(t, lines.String(), token)
	})
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// reply is a fixed answer of an API.
func reply(status int, body string, headers ...string) roundTripper {
	return func(*http.Request) (*http.Response, error) {
		h := http.Header{}
		for i := 0; i < len(headers); i += 2 {
			h.Set(headers[i], headers[i+1])
		}
		return &http.Response{StatusCode: status, Header: h, Body: io.NopCloser(strings.NewReader(body))}, nil
	}
}
