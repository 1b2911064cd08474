package service_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/internal/stoptest"
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

// A process that is stopped under load loses no request if the load balancer
// follows its readiness. Connections that drip do not change that, nor how long
// the stop takes.
func TestSignals_UnderLoad(t *testing.T) {
	t.Parallel()
	stays := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) }), service.WithDrain(0))
	var slowest time.Duration
	var requests int64
	stoptest.Repeat(t, *rounds, func() stoptest.Report {
		p := startChild(t)
		report := stoptest.Load{
			Program: p.addr, Stays: stays.addr, Drain: childDrain, Drips: *drips, DripPath: "/drip",
			Request: func() *http.Request {
				return httptest.NewRequest(http.MethodPost, "/webhooks", strings.NewReader("a delivery"))
			},
			Good: func(status int, body string) bool { return status == http.StatusOK && body == "a delivery" },
		}.Run(t, func() {
			require.NoError(t, p.cmd.Process.Signal(syscall.SIGTERM))
			require.Zero(t, p.wait().ExitCode(), "handlers were aborted")
		})
		slowest, requests = max(slowest, report.Took), requests+report.Requests
		require.GreaterOrEqual(t, report.Took, childDrain)
		require.Less(t, report.Took, childDrain+time.Minute, "something held it")
		return report
	})
	stays.cancel()
	require.NoError(t, <-stays.ended)
	t.Logf("%d stops with %d dripping connections, drain time %v: %d requests, 0 failed, slowest stop %v",
		*rounds, *drips, childDrain, requests, slowest.Round(time.Millisecond))
}
