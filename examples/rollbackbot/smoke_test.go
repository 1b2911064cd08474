package main

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// newTester returns a tester that gives up after the first failure, unless it
// is given more patience.
func newTester(t *testing.T, patience time.Duration, checks ...check) *tester {
	t.Helper()
	for i := range checks {
		require.NoError(t, checks[i].complete())
	}
	tests := &tester{checks: checks, patience: patience, interval: time.Millisecond}
	return through(t, tests, sender.AllowNetworks(netip.MustParsePrefix("127.0.0.1/32")))
}

// through replaces the transport.
func through(t *testing.T, tests *tester, opts ...sender.Option) *tester {
	t.Helper()
	s, err := sender.New(opts...)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	tests.transport = s.Transport()
	return tests
}

func app(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func TestTester(t *testing.T) {
	t.Parallel()
	pages := app(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/base/ok":
			_, _ = io.WriteString(w, "prices for "+r.URL.RawQuery)
		case "/base/moved":
			http.Redirect(w, r, "/base/ok?q=moved", http.StatusFound)
		case "/base/inside":
			http.Redirect(w, r, "http://127.0.0.2/", http.StatusFound)
		case "/base/hang":
			<-r.Context().Done()
		case "/base/reset":
			panic(http.ErrAbortHandler)
		default:
			http.NotFound(w, r)
		}
	})
	for name, c := range map[string]struct {
		check check
		url   string
		want  outcome
		says  string
	}{
		"good":              {check{Path: "/ok?q=1", Contains: "prices for q=1"}, "/base", passed, ""},
		"a slash":           {check{Path: "/ok"}, "/base/", passed, ""},
		"another app":       {check{Path: "/none", App: "other"}, "/base", passed, ""},
		"redirect followed": {check{Path: "/moved", Contains: "q=moved"}, "/base", passed, ""},
		"redirect expected": {check{Path: "/moved", Status: 302}, "/base", passed, ""},
		"status expected":   {check{Path: "/none", Status: 404}, "/base", passed, ""},
		"wrong status":      {check{Path: "/none"}, "/base", broken, "GET /none: status 404, want 200"},
		"wrong page":        {check{Path: "/ok", Contains: "sale"}, "/base", broken, `does not contain "sale"`},
		"too slow":          {check{Path: "/hang", Within: duration(20 * time.Millisecond)}, "/base", broken, "no answer within 20ms"},
		"reset":             {check{Path: "/reset"}, "/base", broken, "EOF"},
		"redirect inside":   {check{Path: "/inside"}, "/base", untested, "not a public address"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := newTester(t, time.Nanosecond, c.check).test(t.Context(), "shop", pages+c.url)
			require.NoError(t, err)
			assert.Equal(t, c.want, r.outcome, r.problem)
			assert.Contains(t, r.problem, c.says)
		})
	}
}

// What the guard or the network of the bot prevents is not blamed on the
// deployment, and not repeated if that can't help.
func TestTester_Untested(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", "::", "http://", "ftp://a.example/", "https://10.0.0.1/", "http://169.254.169.254/", "https://user:secret@a.example/"} {
		r, err := newTester(t, time.Hour, check{Path: "/"}).test(t.Context(), "shop", url)
		require.NoError(t, err)
		require.Equal(t, result{untested, r.problem, 1}, r, url)
		require.NotContains(t, r.problem, "secret")
	}
	down := &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		return nil, errors.New("the network is down")
	}}
	r, err := through(t, newTester(t, time.Nanosecond, check{Path: "/"}), sender.WithResolver(down)).test(t.Context(), "shop", "https://deployment.example/")
	require.NoError(t, err)
	require.Equal(t, untested, r.outcome, r.problem)
}

// All checks share the patience, and a check that passed is not repeated.
func TestTester_Repeats(t *testing.T) {
	t.Parallel()
	var cold, good atomic.Int64
	url := app(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/good" {
			good.Add(1)
		} else if cold.Add(1) <= 7 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	r, err := newTester(t, time.Hour, check{Path: "/good"}, check{Path: "/cold"}).test(t.Context(), "shop", url)
	require.NoError(t, err)
	require.Equal(t, result{passed, "", 9}, r)
	require.EqualValues(t, 1, good.Load())
}

// A bot that stops has found out nothing.
func TestTester_Stops(t *testing.T) {
	t.Parallel()
	stopping := errors.New("stopping")
	ctx, cancel := context.WithCancelCause(t.Context())
	url := app(t, func(w http.ResponseWriter, _ *http.Request) {
		cancel(stopping)
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	_, err := newTester(t, time.Hour, check{Path: "/"}).test(ctx, "shop", url)
	require.ErrorIs(t, err, stopping)
}

func TestParse(t *testing.T) {
	t.Parallel()
	secret := map[string]string{"ROLLBACKBOT_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}
	with := func(name, value string) map[string]string {
		return map[string]string{"ROLLBACKBOT_SECRET": "x", name: value}
	}
	for _, c := range []struct {
		env  map[string]string
		args []string
		says string
	}{
		{nil, []string{"-check", "/"}, "ROLLBACKBOT_SECRET is not set"},
		{secret, nil, "give -check or -checks"},
		{secret, []string{"-check", "health"}, `path "health": want a path such as /health`},
		{secret, []string{"-check", "//evil.example/"}, "want a path"},
		{secret, []string{"-check", "/", "x"}, "unexpected argument"},
		{secret, []string{"-checks", "nosuch.json"}, "-checks: open nosuch.json"},
		{secret, []string{"-checks", writeChecks(t, `{"checks":[]}`)}, "want 1 to 100 checks"},
		{secret, []string{"-checks", writeChecks(t, `{"checks":[{"path":"/","stauts":1}]}`)}, `unknown field "stauts"`},
		{secret, []string{"-checks", writeChecks(t, `{"checks":[{"path":"/","within":"2h"}]}`)}, "within 2h0m0s: want 1ms to 1m0s"},
		{secret, []string{"-checks", writeChecks(t, `{"checks":[{"path":"/","status":99}]}`)}, "status 99: want 200 to 599"},
		{secret, []string{"-check", "/", "-patience", "0"}, "-patience"},
		{secret, []string{"-check", "/", "-lease", "1ms"}, "-lease 1ms: want at least 1s"},
		{secret, []string{"-check", "/", "-rollback"}, "-rollback needs -platform"},
		{secret, []string{"-check", "/", "-platform", "https://u:hunter2@p.example"}, "-platform: want a URL"},
		{secret, []string{"-check", "/", "-allow-networks", "10.0.0.0"}, "want a network"},
		{secret, []string{"-check", "/", "-alert-format", "fax"}, `-alert-format "fax": want json, slack or discord`},
		{secret, []string{"-check", "/", "-alert-format", "slack"}, "set ROLLBACKBOT_ALERT_URL"},
		{with("ROLLBACKBOT_ALERT_URL", "https://a.example"), []string{"-check", "/"}, "ROLLBACKBOT_ALERT_SECRET"},
	} {
		_, err := parse(c.args, func(name string) string { return c.env[name] }, io.Discard)
		require.ErrorContains(t, err, c.says, c.args)
		require.NotContains(t, err.Error(), "hunter2")
	}
	o, err := parse([]string{"-checks", writeChecks(t, `{"checks":[{"path":"/prices","contains":"€","within":"2s","app":"shop"}]}`), "-check", "/"},
		func(name string) string { return secret[name] }, os.Stderr)
	require.NoError(t, err)
	require.Len(t, o.checks, 2)
	require.Equal(t, duration(2*time.Second), o.checks[1].Within)
	require.Equal(t, 200, o.checks[1].Status)
	require.Equal(t, 2*time.Minute+5*time.Minute+12*time.Second, o.handlerTimeout())
}

// A token that the platform refuses is noticed at the start.
func TestRun_ChecksTheToken(t *testing.T) {
	t.Parallel()
	platform := app(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "Bearer plt_wrong", r.Header.Get("Authorization"))
		w.WriteHeader(http.StatusUnauthorized)
		_, _ = io.WriteString(w, `{"code":"unauthenticated","detail":"The request must be authenticated."}`)
	})
	env := map[string]string{"ROLLBACKBOT_SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "ROLLBACKBOT_PLATFORM_TOKEN": "plt_wrong"}
	err := run(t.Context(), []string{"-check", "/", "-rollback", "-platform", platform, "-data", t.TempDir()}, func(name string) string { return env[name] }, io.Discard)
	require.ErrorContains(t, err, "set ROLLBACKBOT_PLATFORM_TOKEN")
	require.NotContains(t, err.Error(), "plt_wrong")
}
