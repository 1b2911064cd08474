package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/service"
)

const (
	childEnv   = "DEPLOYHOOK_SERVICE_CHILD"
	childDrain = 3 * time.Second
)

// child is a whole program with a service.
func child() int {
	ctx, stop := service.Signals(context.Background())
	defer stop()
	s, err := service.New(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			fmt.Fprintln(os.Stderr, "hanging")
			select {}
		}
		_, _ = io.Copy(w, r.Body)
	}), service.WithDrain(childDrain), service.WithStopTimeout(time.Hour), service.WithReadTimeouts(time.Hour, time.Hour),
		service.WithLogger(slog.New(slog.NewTextHandler(os.Stderr, nil))),
		service.WithCheck("store", func(context.Context) error { return nil }))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Fprintln(os.Stderr, "listening", l.Addr())
	if err := s.Run(ctx, l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// process is a running child.
type process struct {
	cmd   *exec.Cmd
	addr  string
	lines chan string
}

func startChild(t *testing.T) *process {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no SIGTERM")
	}
	p := &process{cmd: exec.Command(os.Args[0]), lines: make(chan string, 1000)}
	p.cmd.Env = append(os.Environ(), childEnv+"=1")
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	go func() {
		defer close(p.lines)
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			p.lines <- scanner.Text()
		}
	}()
	p.addr = strings.TrimPrefix(p.waitFor(t, "listening "), "listening ")
	return p
}

// waitFor returns the next line that contains text.
func (p *process) waitFor(t *testing.T, text string) string {
	t.Helper()
	timeout := time.After(2 * time.Minute)
	for {
		select {
		case line, open := <-p.lines:
			require.True(t, open, "the process ended before it wrote %q", text)
			if strings.Contains(line, text) {
				return line
			}
		case <-timeout:
			t.Fatalf("the process did not write %q", text)
		}
	}
}

// wait returns the end of the process.
func (p *process) wait() *os.ProcessState {
	for range p.lines { //nolint:revive // drains the pipe
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState
}

// A second signal ends the process although a handler is running.
func TestSignals_SecondStopsAtOnce(t *testing.T) {
	t.Parallel()
	p := startChild(t)
	_, _ = send(t, p.addr, "GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
	p.waitFor(t, "hanging")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	p.waitFor(t, "service: stopping")
	require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
	require.False(t, p.wait().Exited(), "the signal ended it")
}

// balancer sends requests to processes that say that they are ready.
type balancer struct {
	proxy  *httputil.ReverseProxy
	failed atomic.Int64

	mu    sync.Mutex
	ready []string
	next  int
	last  string // the last error
}

func newBalancer() *balancer {
	b := &balancer{}
	b.proxy = &httputil.ReverseProxy{
		Transport: &http.Transport{MaxIdleConnsPerHost: 100},
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: b.pick()}) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			b.failed.Add(1)
			b.mu.Lock()
			b.last = err.Error()
			b.mu.Unlock()
			w.WriteHeader(http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo),
	}
	return b
}

func (b *balancer) pick() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	return b.ready[b.next%len(b.ready)]
}

// poll asks the processes for their readiness until ctx ends.
func (b *balancer) poll(ctx context.Context, addrs ...string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: time.Minute}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		var ready []string
		for _, addr := range addrs {
			resp, err := client.Get("http://" + addr + "/readyz")
			if err != nil {
				continue
			}
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				ready = append(ready, addr)
			}
		}
		b.mu.Lock()
		b.ready = ready
		b.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (b *balancer) sendsTo(addr string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, ready := range b.ready {
		if ready == addr {
			return true
		}
	}
	return false
}

// load sends requests through the balancer until ctx ends.
func (b *balancer) load(ctx context.Context, done *atomic.Int64) {
	for ctx.Err() == nil {
		r, _ := http.NewRequest(http.MethodPost, "/webhooks", strings.NewReader("a delivery"))
		w := &answerWriter{header: http.Header{}}
		b.proxy.ServeHTTP(w, r)
		if w.status != http.StatusOK || w.body.String() != "a delivery" {
			b.failed.Add(1)
		}
		done.Add(1)
		time.Sleep(time.Millisecond) // real processes: a load of some hundred requests a second
	}
}

type answerWriter struct {
	header http.Header
	status int
	body   strings.Builder
}

func (w *answerWriter) Header() http.Header { return w.header }

func (w *answerWriter) WriteHeader(status int) { w.status = status }

func (w *answerWriter) Write(p []byte) (int, error) { return w.body.Write(p) }

// drip keeps connections open that send a byte now and then, in the headers and
// in the body.
func drip(ctx context.Context, t *testing.T, addr string, n int) {
	t.Helper()
	var conns []net.Conn
	for i := range n {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		require.NoError(t, err)
		conns = append(conns, c)
		text := "POST /drip HTTP/1.1\r\nHost: x\r\n"
		if i%2 == 0 {
			text += "Content-Length: 100000\r\n\r\n"
		}
		_, err = io.WriteString(c, text)
		require.NoError(t, err)
	}
	tick := time.NewTicker(200 * time.Millisecond)
	go func() {
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				for _, c := range conns {
					_ = c.Close()
				}
				return
			case <-tick.C:
				for _, c := range conns {
					_, _ = io.WriteString(c, "x") // the process may have closed it
				}
			}
		}
	}()
}

// A process that is stopped under load loses no request if the load balancer
// follows its readiness. Connections that drip do not change that, nor how long
// the stop takes.
func TestSignals_UnderLoad(t *testing.T) {
	t.Parallel()
	b := newBalancer()
	t.Cleanup(b.proxy.Transport.(*http.Transport).CloseIdleConnections)
	stays := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), service.WithDrain(0))
	var slowest time.Duration
	var done atomic.Int64
	for range *rounds {
		p := startChild(t)
		ctx, cancel := context.WithCancel(t.Context())
		var all sync.WaitGroup
		all.Go(func() { b.poll(ctx, stays.addr, p.addr) })
		require.Eventually(t, func() bool { return b.sendsTo(p.addr) }, time.Minute, time.Millisecond)
		drip(ctx, t, p.addr, *drips)
		before := done.Load()
		for range 8 {
			all.Go(func() { b.load(ctx, &done) })
		}
		require.Eventually(t, func() bool { return done.Load() > before+200 }, 2*time.Minute, time.Millisecond)
		begun := time.Now()
		require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
		state := p.wait()
		took := time.Since(begun)
		slowest = max(slowest, took)
		cancel()
		all.Wait()
		require.Zero(t, state.ExitCode(), "handlers were aborted")
		require.GreaterOrEqual(t, took, childDrain)
		require.Less(t, took, childDrain+time.Minute, "something held it")
	}
	stays.cancel()
	require.NoError(t, <-stays.ended)
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Zero(t, b.failed.Load(), "failed requests of %d; the last error: %s", done.Load(), b.last)
	t.Logf("%d stops with %d dripping connections, drain time %v: %d requests, 0 failed, slowest stop %v",
		*rounds, *drips, childDrain, done.Load(), slowest.Round(time.Millisecond))
}
