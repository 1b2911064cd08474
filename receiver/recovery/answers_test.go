package recovery_test

import (
	"context"
	"errors"
	"fmt"
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

const one = `[{"id":1,"guid":"g","delivered_at":"2000-01-01T00:00:00Z","status":"OK","status_code":200}]`

// An answer that is not that of a log ends the run, and nothing is asked for.
func TestAnswers_ThatEndARun(t *testing.T) {
	t.Parallel()
	next := func(to string) []string { return []string{"Link", "<" + to + `>; rel="next"`} }
	for name, test := range map[string]struct {
		api  roundTripper
		log  recovery.Log
		is   error
		says string
	}{
		"401":            {reply(401, `{"message":"Bad credentials"}`), repository, recovery.ErrDenied, `401 "Bad credentials": the token`},
		"403":            {reply(403, `{"message":"Resource not accessible"}`), repository, recovery.ErrDenied, "permissions"},
		"404":            {reply(404, `{"message":"Not Found"}`), repository, recovery.ErrDenied, "webhook's ID"},
		"422":            {reply(422, `oops`), repository, recovery.ErrAPI, "422"},
		"redirect":       {reply(301, ``, "Location", "https://elsewhere.example.com"), repository, recovery.ErrAPI, "redirects"},
		"502":            {reply(502, ``), repository, recovery.ErrAPI, "gave up after 6 tries"},
		"no JSON":        {reply(200, `<html>`), repository, recovery.ErrAPI, "not a list"},
		"object":         {reply(200, `{"message":"x"}`), repository, recovery.ErrAPI, "not a list"},
		"no guid":        {reply(200, `[{"id":1,"delivered_at":"2000-01-01T00:00:00Z"}]`), repository, recovery.ErrAPI, "guid"},
		"no time":        {reply(200, `[{"id":1,"guid":"g"}]`), repository, recovery.ErrAPI, "delivered_at"},
		"same page":      {reply(200, one, next("https://api.github.com/x?cursor=v1_1")...), repository, recovery.ErrAPI, "same page"},
		"no cursor":      {reply(200, one, next("https://api.github.com/x?page=2")...), repository, recovery.ErrAPI, "no cursor"},
		"no URL":         {reply(200, one, next("https://api.github.com/%zz")...), repository, recovery.ErrAPI, "not a URL"},
		"endless":        {reply(200, strings.Repeat(" ", 5<<20)), repository, recovery.ErrTooLarge, "bytes"},
		"always limited": {reply(429, `{"message":"slow down"}`), repository, recovery.ErrRateLimited, "8 tries"},
		"GitLab entry":   {reply(200, `[{"id":1}]`), project, recovery.ErrAPI, "response_status"},
		"GitLab page":    {reply(200, `[]`, "X-Next-Page", "7"), project, recovery.ErrAPI, "X-Next-Page"},
		"GitLab no JSON": {reply(200, `no`), project, recovery.ErrAPI, "not a list"},
		"GitLab repeats": {repeats(), project, recovery.ErrAPI, "repeats itself"},
		"cut":            {cutOff, repository, recovery.ErrAPI, "read the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, test.log, onlyReads(t, test.api), recovery.WithMaxWait(24*time.Hour))
				result, err := c.Recover(t.Context())
				require.ErrorIs(t, err, test.is)
				require.ErrorContains(t, err, test.says)
				require.NotContains(t, err.Error(), token)
				require.Zero(t, result.CompleteUntil)
			})
		})
	}
}

// onlyReads fails the test if a request is an ask or goes to another host.
func onlyReads(t *testing.T, api roundTripper) roundTripper {
	return func(r *http.Request) (*http.Response, error) {
		if r.Method != http.MethodGet || r.URL.Host != "api.github.com" && r.URL.Host != "gitlab.com" {
			t.Errorf("%s %s", r.Method, r.URL)
		}
		return api(r)
	}
}

func cutOff(*http.Request) (*http.Response, error) {
	body := io.MultiReader(strings.NewReader(`[`), broken{})
	return &http.Response{StatusCode: 200, Body: io.NopCloser(body)}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// repeats is a GitLab whose pages are all the same.
func repeats() roundTripper {
	page := 1
	return func(r *http.Request) (*http.Response, error) {
		page++
		return reply(200, `[{"id":1,"response_status":"200"}]`, "X-Next-Page", fmt.Sprint(page))(r)
	}
}

// asks answers reads with a log of n failed deliveries, and asks with api.
func asks(n int, api roundTripper) roundTripper {
	var entries []string
	for i := range n {
		entries = append(entries, fmt.Sprintf(`{"id":%d,"guid":"g%d","delivered_at":"2000-01-01T00:00:00Z","status":"timed out","status_code":0}`, i+1, i+1))
	}
	return func(r *http.Request) (*http.Response, error) {
		if r.Method == http.MethodGet {
			return reply(200, "["+strings.Join(entries, ",")+"]")(r)
		}
		return api(r)
	}
}

func TestAnswers_ToAsks(t *testing.T) {
	t.Parallel()
	lost := roundTripper(func(*http.Request) (*http.Response, error) { return nil, errors.New("reset") })
	for name, test := range map[string]struct {
		api      roundTripper
		outcomes map[recovery.Outcome]int
		reason   string
		is       error
	}{
		"accepted":    {reply(202, `{}`), map[recovery.Outcome]int{recovery.Asked: 120}, "", nil},
		"lost":        {lost, map[recovery.Outcome]int{recovery.Unconfirmed: 5, recovery.Deferred: 115}, "the answer was lost", nil},
		"500":         {reply(500, ``), map[recovery.Outcome]int{recovery.Unconfirmed: 5, recovery.Deferred: 115}, "the API answered 500", nil},
		"gone":        {reply(404, `{"message":"Not Found"}`), map[recovery.Outcome]int{recovery.Refused: 100, recovery.Deferred: 20}, `the API answered 404 "Not Found"`, nil},
		"400":         {reply(400, `x`), map[recovery.Outcome]int{recovery.Refused: 100, recovery.Deferred: 20}, `the API answered 400`, nil},
		"only reads":  {reply(403, `{"message":"Resource not accessible"}`), map[recovery.Outcome]int{recovery.Deferred: 120}, "the run stopped before it was asked for", recovery.ErrDenied},
		"unauthentic": {reply(401, ``), map[recovery.Outcome]int{recovery.Deferred: 120}, "the run stopped before it was asked for", recovery.ErrDenied},
		"redirect":    {reply(307, ``), map[recovery.Outcome]int{recovery.Deferred: 120}, "the run stopped before it was asked for", recovery.ErrAPI},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				c := newClient(t, repository, asks(120, test.api))
				result, err := c.Recover(t.Context())
				require.ErrorIs(t, err, test.is)
				for outcome, n := range test.outcomes {
					require.Equal(t, n, result.Count(outcome), outcome)
				}
				require.Equal(t, test.reason, result.Missed[0].Reason)
				again, err := c.Recover(t.Context())
				if test.is == nil {
					require.NoError(t, err)
					require.Equal(t, result.Count(recovery.Asked, recovery.Unconfirmed), again.Count(recovery.Pending))
					require.GreaterOrEqual(t, again.Count(recovery.Refused), result.Count(recovery.Refused))
				}
			})
		})
	}
}

// in returns answers one after the other, and then the last one again and
// again.
func in(order ...roundTripper) (api roundTripper, requests *int) {
	requests = new(int)
	return func(r *http.Request) (*http.Response, error) {
		*requests++
		return order[min(*requests, len(order))-1](r)
	}, requests
}

// What was refused is not asked for again, and what was not sent is.
func TestAsks_InTheNextRun(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		first, second roundTripper
		outcome       recovery.Outcome
		requests      int
	}{
		"refused":      {reply(404, ""), reply(202, ""), recovery.Refused, 1},
		"denied":       {reply(403, ""), reply(202, ""), recovery.Asked, 2},
		"rate limited": {reply(429, "", "Retry-After", "100"), reply(202, ""), recovery.Asked, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api, requests := in(test.first, test.second)
				c := newClient(t, repository, asks(1, api), recovery.WithMaxWait(time.Second))
				_, _ = c.Recover(t.Context()) // fails, except for the first case
				time.Sleep(2 * time.Minute)
				result, err := c.Recover(t.Context())
				require.NoError(t, err)
				require.Equal(t, test.outcome, result.Missed[0].Outcome)
				require.Equal(t, test.requests, *requests)
			})
		})
	}
}

// A delivery that was accepted is complete, even if a later attempt failed.
func TestAccepted_BeforeAFailure(t *testing.T) {
	t.Parallel()
	api := reply(200, `[
		{"id":2,"guid":"g","delivered_at":"2000-01-01T00:00:05Z","status":"timed out","status_code":0,"redelivery":true},
		{"id":1,"guid":"g","delivered_at":"2000-01-01T00:00:00Z","status":"OK","status_code":204}]`)
	result, err := newClient(t, repository, onlyReads(t, api)).Recover(t.Context())
	require.NoError(t, err)
	require.Empty(t, result.Missed)
	require.Equal(t, 2, result.Examined)
}

// The waits are those that GitHub documents, by GitHub's clock.
func TestRateLimits_Waits(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		limited roundTripper
		wait    time.Duration
	}{
		"seconds":   {reply(403, "", "Retry-After", "17"), 17 * time.Second},
		"date":      {reply(429, "", "Retry-After", "Sat, 01 Jan 2000 00:02:00 GMT"), 2 * time.Minute},
		"primary":   {reply(403, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1577837400", "Date", "Wed, 01 Jan 2020 00:00:00 GMT"), 10*time.Minute + time.Second},
		"no clock":  {reply(429, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "946684920"), 2*time.Minute + time.Second},
		"past":      {reply(429, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "1"), time.Second},
		"secondary": {reply(403, `{"message":"You have exceeded a secondary rate limit."}`), time.Minute},
		"GitLab":    {reply(429, "", "RateLimit-Remaining", "0", "RateLimit-Reset", "946684860"), time.Minute + time.Second},
		"no number": {reply(429, "", "X-RateLimit-Remaining", "0", "X-RateLimit-Reset", "soon"), time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				started := time.Now()
				api, requests := in(test.limited, reply(200, one))
				_, err := newClient(t, repository, api).Recover(t.Context())
				require.NoError(t, err)
				require.Equal(t, test.wait, time.Since(started))
				require.Equal(t, 2, *requests)
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		started := time.Now()
		_, err := newClient(t, repository, reply(429, "")).Recover(t.Context())
		require.ErrorIs(t, err, recovery.ErrRateLimited)
		require.Equal(t, (1+2+4+8+16+32+64)*time.Minute, time.Since(started))
	})
}

func TestToken_IsReadForEachRequest(t *testing.T) {
	t.Parallel()
	calls := 0
	next := func(context.Context) (string, error) { calls++; return fmt.Sprintf(" token-%d\n", calls), nil }
	var seen []string
	api := roundTripper(func(r *http.Request) (*http.Response, error) {
		seen = append(seen, r.Header.Get("Authorization"))
		return asks(1, reply(202, ""))(r)
	})
	c, err := recovery.New(repository, next, recovery.WithTransport(api), recovery.WithLogger(slog.New(slog.DiscardHandler)))
	require.NoError(t, err)
	_, err = c.Recover(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"Bearer token-1", "Bearer token-2"}, seen)
}

func TestToken_Failures(t *testing.T) {
	t.Parallel()
	down := errors.New("the vault is down")
	for _, test := range []struct {
		token string
		err   error
	}{{"", nil}, {"two words", nil}, {"a\r\nHost: x", nil}, {strings.Repeat("x", 20_000), nil}, {"tökén", nil}, {"", down}} {
		synctest.Test(t, func(t *testing.T) {
			c, err := recovery.New(repository, func(context.Context) (string, error) { return test.token, test.err },
				recovery.WithTransport(reply(200, one)), recovery.WithLogger(slog.New(slog.DiscardHandler)))
			require.NoError(t, err)
			_, err = c.Recover(t.Context())
			require.ErrorIs(t, err, recovery.ErrToken)
			if test.err != nil {
				require.ErrorIs(t, err, down)
			} else if test.token != "" {
				require.NotContains(t, err.Error(), test.token)
			}
		})
	}
}

// A redirect is not followed, even to the same host.
func TestRedirects_AreNotFollowed(t *testing.T) {
	t.Parallel()
	requests := 0
	api := roundTripper(func(r *http.Request) (*http.Response, error) {
		requests++
		return reply(302, "", "Location", r.URL.String())(r)
	})
	_, err := newClient(t, repository, api).Recover(t.Context())
	require.ErrorIs(t, err, recovery.ErrAPI)
	require.Equal(t, 1, requests)
}

func TestLogs_HaveTheirPaths(t *testing.T) {
	t.Parallel()
	for want, log := range map[string]recovery.Log{
		"https://api.github.com/app/hook/deliveries?per_page=100":                                 recovery.GitHubApp(),
		"https://api.github.com/orgs/acme/hooks/7/deliveries?per_page=100":                        recovery.GitHubOrganization("acme", 7),
		"https://api.github.com/repos/acme/api.js/hooks/7/deliveries?per_page=100":                recovery.GitHubRepository("acme", "api.js", 7),
		"https://gitlab.com/api/v4/projects/acme%2Ftools%2Fapi/hooks/7/events?per_page=20&page=1": recovery.GitLabProject("acme/tools/api", 7),
		"https://gitlab.com/api/v4/groups/42/hooks/7/events?per_page=20&page=1":                   recovery.GitLabGroup("42", 7),
	} {
		var got string
		api := roundTripper(func(r *http.Request) (*http.Response, error) { got = r.URL.String(); return reply(200, "[]")(r) })
		_, err := newClient(t, log, api).Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

func TestGitLab_Entries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitLab(t)
		api.WithoutTimes = true
		api.Publish(recoverytest.Unreachable)
		api.PublishOversize()
		api.Publish(recoverytest.Failing)
		result, err := newClient(t, project, api).Recover(t.Context())
		require.NoError(t, err)
		require.Empty(t, api.Violations())
		require.Equal(t, []int{2, 1}, []int{result.Count(recovery.Asked), result.Count(recovery.Refused)})
		require.Equal(t, []string{"internal error", "503"}, []string{result.Missed[0].Status, result.Missed[1].Status})
		require.Contains(t, result.Missed[1].Reason, "too long")
		require.Zero(t, result.CompleteUntil, "the log has no times")
		h.requireOnce(t, 2)

		without := reply(200, `[{"id":3,"response_status":"500"},{"id":2,"response_status":"500"}]`)
		result, err = newClient(t, project, without).Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, 2, result.Count(recovery.Refused))
		require.Contains(t, result.Missed[0].Reason, "Idempotency-Key")
	})
}

// Without a pace, GitLab refuses the sixth ask of a minute, and names no time.
func TestGitLab_FiveAsksAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, h := newGitLab(t)
		for range 23 {
			api.Publish(recoverytest.Failing)
		}
		started := time.Now()
		result, err := newClient(t, project, api, recovery.WithPace(0)).Recover(t.Context())
		require.NoError(t, err)
		require.Empty(t, api.Violations())
		require.Equal(t, 23, result.Count(recovery.Asked))
		require.Equal(t, 4*time.Minute, time.Since(started))
		h.requireOnce(t, 23)
	})
}

// Failures with successes between them disable nothing.
func TestGitLab_FailuresBetweenSuccesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		api, _ := newGitLab(t)
		for range 10 {
			api.Publish(recoverytest.Failing)
		}
		n := 0
		api.Again = func(string, int) recoverytest.Way {
			n++
			return recoverytest.Way(n%2) * recoverytest.Failing
		}
		result, err := newClient(t, project, api).Recover(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int{5, 5}, []int{result.Count(recovery.Failed), result.Count(recovery.Asked)})
	})
}

// GitLab disables a webhook after four failures in a row, and loses the events
// of that time. A run stops before, and later ones go on with others.
func TestGitLab_StopsBeforeTheWebhookIsDisabled(t *testing.T) {
	t.Parallel()
	for name, way := range map[string]recoverytest.Way{"answers 503": recoverytest.Failing, "is down": recoverytest.Unreachable} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				api, h := newGitLab(t)
				poison := map[string]bool{}
				for i := range 20 {
					if key := api.Publish(recoverytest.Failing); i < 3 {
						poison[key] = true
					}
				}
				api.Again = func(key string, _ int) recoverytest.Way {
					if poison[key] {
						return way
					}
					return recoverytest.Accepted
				}
				c := newClient(t, project, api)
				result, err := c.Recover(t.Context())
				require.NoError(t, err)
				require.Equal(t, []int{2, 18}, []int{result.Count(recovery.Failed), result.Count(recovery.Deferred)})
				require.Contains(t, result.Missed[0].Reason, map[string]string{"answers 503": "answered 503", "is down": "ReadTimeout"}[name])
				api.Publish(recoverytest.Accepted)
				result, err = c.Recover(t.Context())
				require.NoError(t, err)
				require.Equal(t, []int{1, 17, 2}, []int{result.Count(recovery.Failed), result.Count(recovery.Asked), result.Count(recovery.Deferred)})
				require.Zero(t, api.Lost)
				h.requireOnce(t, 18)
			})
		})
	}
}
