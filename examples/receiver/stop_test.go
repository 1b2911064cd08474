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

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/stoptest"
	"github.com/deployhook/deployhook/payload"
	"github.com/deployhook/deployhook/signer"
)

var (
	rounds = flag.Int("service.rounds", 1, "how often a receiver is stopped under load")
	drips  = flag.Int("service.drips", 100, "unauthenticated connections that send a byte now and then while a receiver stops")
)

// stopDrain is the drain time of receivers that are stopped under load.
const stopDrain = 3 * time.Second

// A receiver that is stopped under load fails no delivery of a sender that
// follows its readiness. Unauthenticated connections that drip do not hold it.
func TestSIGTERM_UnderLoad(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	secret := signer.GenerateSecret()
	scheme, err := signer.NewStandard(secret)
	require.NoError(t, err)
	newReceiver := func() (p *program, addr string) {
		p = start(t, []string{"DEPLOYHOOK_SECRET=" + secret.Reveal()}, "-store", "sqlite:deployhook.db", "-drain", stopDrain.String())
		require.NotEmpty(t, p.base, p.output())
		return p, strings.TrimPrefix(p.base, "http://")
	}
	stays, staysAt := newReceiver()
	stoptest.Repeat(t, *rounds, func() stoptest.Report {
		p, addr := newReceiver()
		report := stoptest.Load{
			Program: addr, Stays: staysAt, Drain: stopDrain, Drips: *drips, DripPath: "/webhooks/deploy",
			Request: func() *http.Request { // a delivery of its own
				r := httptest.NewRequest(http.MethodPost, "/webhooks/deploy", strings.NewReader(event))
				r.Header.Set("Content-Type", "application/json")
				assert.NoError(t, scheme.Sign(r.Context(), r, payload.NewDeliveryID(), time.Now(), []byte(event)))
				return r
			},
			Good: func(status int, body string) bool {
				return status == http.StatusOK && strings.TrimSpace(body) == handled
			},
		}.Run(t, func() { require.Zero(t, p.stop(), p.output()) })
		require.GreaterOrEqual(t, report.Took, stopDrain)
		require.Less(t, report.Took, stopDrain+time.Minute, "something held it")
		require.Less(t, strings.Count(p.output(), "level=WARN")+strings.Count(p.output(), "level=ERROR"), 100, "a flood of lines")
		t.Logf("drain time %v, stopped after %v with %d dripping connections; it had closed %d; %d deliveries, 0 failed",
			stopDrain, report.Took.Round(time.Millisecond), *drips, report.Closed, report.Requests)
		return report
	})
	require.Zero(t, stays.stop(), stays.output())
}

// A second signal ends the receiver at once.
func TestSIGTERM_TwiceStopsAtOnce(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	p := start(t, nil, "-store", "memory", "-drain", "1h")
	require.NotEmpty(t, p.base, p.output())
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.Eventually(t, func() bool { return strings.Contains(p.output(), "service: stopping") }, 2*time.Minute, time.Millisecond)
	p.stop()
	require.False(t, p.cmd.ProcessState.Exited(), "the signal ended it")
}
