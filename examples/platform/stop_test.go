package main

import (
	"flag"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/stoptest"
)

var (
	rounds = flag.Int("service.rounds", 1, "how often a platform is stopped under load")
	drips  = flag.Int("service.drips", 100, "unauthenticated connections that send a byte now and then while a platform stops")
)

// stopDrain is the drain time of platforms that are stopped under load.
const stopDrain = 3 * time.Second

// A platform that is stopped under load fails no request of a client that
// follows its readiness. Unauthenticated connections that drip are closed after
// the read timeout. They do not hold the stop.
func TestSIGTERM_UnderLoad(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	env := []string{"PLATFORM_API_TOKEN=" + apiToken}
	limits := []string{"-drain", stopDrain.String(), "-read-timeout", "1s"}
	stays := start(t, t.TempDir(), env, limits...)
	require.NotNil(t, stays.api, stays.output())
	address := func(p *program) string { return strings.TrimPrefix(p.api.base, "http://") }
	stoptest.Repeat(t, *rounds, func() stoptest.Report {
		p := start(t, t.TempDir(), env, limits...)
		require.NotNil(t, p.api, p.output())
		report := stoptest.Load{
			Program: address(p), Stays: address(stays), Drain: stopDrain, Drips: *drips, DripPath: "/webhooks/apps/shop/endpoints", Closes: true,
			Request: func() *http.Request { // a write to the database
				r := httptest.NewRequest(http.MethodPut, "/webhooks/apps/shop", nil)
				r.Header.Set("Authorization", "Bearer "+apiToken)
				return r
			},
			Good: func(status int, body string) bool { return status == http.StatusOK && body == `{"app":"shop"}`+"\n" },
		}.Run(t, func() { require.Zero(t, p.stop(syscall.SIGTERM), p.output()) })
		require.GreaterOrEqual(t, report.Took, stopDrain)
		require.Less(t, report.Took, stopDrain+time.Minute, "something held it")
		require.Contains(t, p.output(), "msg=stopped")
		require.Less(t, strings.Count(p.output(), "level=WARN")+strings.Count(p.output(), "level=ERROR"), 100, "a flood of lines")
		t.Logf("drain time %v, stopped after %v with %d dripping connections; it had closed %d; %d requests, 0 failed",
			stopDrain, report.Took.Round(time.Millisecond), *drips, report.Closed, report.Requests)
		return report
	})
	require.Zero(t, stays.stop(syscall.SIGTERM), stays.output())
}

// A second signal ends the platform at once.
func TestSIGTERM_TwiceStopsAtOnce(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	p := start(t, t.TempDir(), nil, "-drain", "1h")
	require.NotNil(t, p.api, p.output())
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.says("service: stopping")
	p.must(http.StatusServiceUnavailable, "GET", "/readyz", "", nil)
	p.must(http.StatusOK, "GET", "/sources", "", nil)
	p.stop(syscall.SIGTERM)
	require.False(t, p.cmd.ProcessState.Exited(), "the signal ended it")
}
