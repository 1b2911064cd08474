// Package stoptest stops a program under load. Good requests come through a
// load balancer that follows the program's readiness. Other clients keep
// connections open and send a byte now and then.
//
//	stoptest.Repeat(t, 1, func() stoptest.Report {
//		p := start(t)
//		return stoptest.Load{
//			Program: p.addr, Stays: other.addr, Drain: drain, Request: newRequest, Good: isGood, Drips: 100, DripPath: "/webhooks/deploy",
//		}.Run(t, func() { p.stop(syscall.SIGTERM) })
//	})
package stoptest

import (
	"context"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const (
	// patience is how long a step may take. Only a hang takes that long.
	patience = 2 * time.Minute
	// clients is the number of clients that send good requests.
	clients = 8
	// before is the number of good requests before the stop.
	before = 200
	// maxStalled is how many rounds may be stalled.
	maxStalled = 10
)

// Load is what arrives while a program stops.
type Load struct {
	// Program is the address of the program that is stopped. Stays is the address
	// of another one, which takes the requests over. Both serve /readyz.
	Program, Stays string
	// Drain is how long the program serves requests after it has said that it is
	// not ready.
	Drain time.Duration
	// Request returns a good request. Its URL needs only a path.
	Request func() *http.Request
	// Good reports whether an answer is the right one.
	Good func(status int, body string) bool
	// Drips is the number of connections that send a byte now and then. Half of
	// them send a header that never ends, and the others a body for DripPath.
	// They have no credentials.
	Drips    int
	DripPath string
	// Closes makes the stop wait until the program has closed as many dripping
	// connections as there are. They are opened again, so they drip during the
	// stop, too.
	Closes bool
}

// Report is what happened. No request failed, or the round was stalled, or the
// test has failed.
type Report struct {
	Requests int64         // good requests that were answered
	Closed   int64         // dripping connections that the program closed before the stop
	Took     time.Duration // duration of the stop
	// Stalled is true if requests failed because the machine was too slow for the
	// balancer. It asked for the readiness less than twice in the drain time.
	Stalled bool
}

// Repeat calls round until n rounds were not stalled. The test fails if many
// were.
func Repeat(t testing.TB, n int, round func() Report) {
	t.Helper()
	for stalled := 0; n > 0; {
		if !round().Stalled {
			n--
			continue
		}
		stalled++
		require.LessOrEqual(t, stalled, maxStalled, "the machine is too slow for the drain time")
	}
}

// Run begins the load and calls stop, which stops the program and returns after
// its end. The load ends after that.
func (l Load) Run(t testing.TB, stop func()) Report {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	b := newBalancer()
	defer b.close()
	defer all.Wait()
	defer cancel()
	all.Go(func() { b.poll(ctx, l.Program, l.Stays) })
	l.await(t, "both programs are ready", func() bool { return b.sendsTo(l.Program) && b.sendsTo(l.Stays) })

	d := &drips{addr: l.Program, path: l.DripPath}
	require.NoError(t, d.open(ctx, l.Drips), "open dripping connections")
	all.Go(func() { d.run(ctx) })
	var done atomic.Int64
	for range clients {
		all.Go(func() { b.load(ctx, l, &done) })
	}
	l.await(t, "requests are answered", func() bool { return done.Load() > before })

	if l.Closes {
		l.await(t, "the program closes dripping connections", func() bool { return d.closed.Load() >= int64(l.Drips) })
	}
	closed, begun := d.closed.Load(), time.Now()
	stop()
	took := time.Since(begun)
	cancel()
	all.Wait()
	failed, last, slow := b.failures()
	stalled := failed > 0 && slow > l.Drain/2
	if !stalled {
		require.Zero(t, failed, "failed requests of %d; the last one: %s", done.Load(), last)
	}
	return Report{Requests: done.Load(), Closed: closed, Took: took, Stalled: stalled}
}

func (l Load) await(t testing.TB, what string, is func() bool) {
	t.Helper()
	require.Eventually(t, is, patience, time.Millisecond, what)
}

// sendsTo reports whether a program gets requests.
func (b *balancer) sendsTo(addr string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Contains(b.ready, addr)
}
