package stoptest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// pollEvery is the period of the balancer's health check.
	pollEvery = 20 * time.Millisecond
	// loadEvery is the pause of a client between two requests.
	loadEvery = time.Millisecond
)

// balancer sends requests to the programs that say that they are ready.
type balancer struct {
	proxy     *httputil.ReverseProxy
	transport *http.Transport

	mu     sync.Mutex
	ready  []string
	next   int
	failed int
	last   string        // the last failure
	slow   time.Duration // the longest time between two health checks
}

func newBalancer() *balancer {
	b := &balancer{transport: &http.Transport{MaxIdleConnsPerHost: 100}}
	b.proxy = &httputil.ReverseProxy{
		Transport: b.transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: b.pick()}) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "balancer: "+err.Error(), http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	return b
}

func (b *balancer) close() { b.transport.CloseIdleConnections() }

func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.ready) == 0 {
		return "nothing-is-ready.invalid"
	}
	b.next++
	return b.ready[b.next%len(b.ready)]
}

// poll asks the programs for their readiness until ctx ends.
func (b *balancer) poll(ctx context.Context, addrs ...string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for last := time.Now(); ; {
		var ready []string
		for _, addr := range addrs {
			if isReady(ctx, &client, addr) {
				ready = append(ready, addr)
			}
		}
		now := time.Now()
		b.mu.Lock()
		b.slow = max(b.slow, now.Sub(last))
		if ctx.Err() == nil {
			b.ready = ready
		}
		b.mu.Unlock()
		last = now
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func isReady(ctx context.Context, client *http.Client, addr string) bool {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/readyz", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(r)
	if err != nil {
		return false
	}
	_ = resp.Body.Close() // its body says nothing more
	return resp.StatusCode == http.StatusOK
}

// load sends good requests through the balancer until ctx ends.
func (b *balancer) load(ctx context.Context, l Load, done *atomic.Int64) {
	tick := time.NewTicker(loadEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		w := httptest.NewRecorder()
		if err := b.serve(w, l.Request()); err != nil {
			b.fail(err.Error())
		} else if !l.Good(w.Code, w.Body.String()) {
			b.fail(fmt.Sprintf("%d %.500s", w.Code, w.Body))
		}
		done.Add(1)
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// serve passes a request on. The proxy panics if an answer breaks off.
func (b *balancer) serve(w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if broken := recover(); broken != nil {
			err = errors.New("the answer broke off")
		}
	}()
	b.proxy.ServeHTTP(w, r)
	return nil
}

func (b *balancer) fail(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failed++
	b.last = what
}

// failures returns how many requests have failed, the last failure, and the
// longest time between two health checks.
func (b *balancer) failures() (n int, last string, slow time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failed, b.last, b.slow
}
