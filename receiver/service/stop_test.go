package service_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/receiver/service"
)

// running is a service that a test stops.
type running struct {
	addr   string
	cancel context.CancelFunc
	ended  chan error
	out    log
}

func run(t *testing.T, h http.Handler, opts ...service.Option) *running {
	t.Helper()
	return runOn(t, listen(t), h, opts...)
}

func runOn(t *testing.T, l net.Listener, h http.Handler, opts ...service.Option) *running {
	t.Helper()
	r := &running{ended: make(chan error, 1)}
	s := newService(t, h, append(opts, service.WithLogger(r.out.logger()))...)
	r.addr = l.Addr().String()
	var ctx context.Context
	ctx, r.cancel = context.WithCancel(t.Context())
	go func() { r.ended <- s.Run(ctx, l) }()
	return r
}

// stop begins the stop and waits until it has begun.
func (r *running) stop(t *testing.T) {
	t.Helper()
	r.cancel()
	require.Eventually(t, func() bool { return strings.Contains(r.out.String(), "service: stopping") }, time.Minute, time.Millisecond)
}

// send opens a connection and sends text.
func send(t *testing.T, addr, text string) (net.Conn, *bufio.Reader) {
	t.Helper()
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(time.Minute)))
	_, err = io.WriteString(c, text)
	require.NoError(t, err)
	return c, bufio.NewReader(c)
}

func readAnswer(t *testing.T, r *bufio.Reader) *http.Response {
	t.Helper()
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	return resp
}

// Readiness turns at once, and new connections are served during the drain
// time.
func TestRun_ServesWhileItDrains(t *testing.T) {
	t.Parallel()
	l := listen(t)
	r := runOn(t, l, hello, service.WithDrain(time.Hour))
	_, old := send(t, r.addr, "GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	require.False(t, readAnswer(t, old).Close)
	r.stop(t)
	status, text := get(t, r.addr, "/readyz")
	require.Equal(t, http.StatusServiceUnavailable, status)
	require.Equal(t, "{\"status\":\"stopping\"}\n", text)
	status, _ = get(t, r.addr, "/livez")
	require.Equal(t, http.StatusOK, status)
	_, fresh := send(t, r.addr, "GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
	require.True(t, readAnswer(t, fresh).Close, "the client has to look for another process")
	require.NoError(t, l.Close())
	require.ErrorContains(t, <-r.ended, "the listener failed")
}

const slowRequest = "POST /c HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"

// readBody answers 408 to a body that does not arrive.
func readBody(entered chan<- struct{}) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		if _, err := io.ReadAll(r.Body); err != nil {
			w.WriteHeader(http.StatusRequestTimeout)
		}
	})
}

// A body that is still arriving is refused at the end of the drain time, with
// an answer.
func TestRun_SlowBodyDoesNotHoldIt(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	r := run(t, readBody(entered), service.WithDrain(0), service.WithStopTimeout(time.Hour), service.WithReadTimeouts(time.Hour, time.Hour))
	_, answer := send(t, r.addr, slowRequest)
	<-entered
	_, _ = send(t, r.addr, "POST /headers-never-end HTTP/1.1\r\nHost: x\r\n")
	_, _ = send(t, r.addr, "")
	r.cancel()
	require.Equal(t, http.StatusRequestTimeout, readAnswer(t, answer).StatusCode)
	require.NoError(t, <-r.ended)
}

// A client that goes on sending a body which its handler has not read does not
// delay the stop either. It gets its answer at the end of the drain time.
func TestRun_UnreadBodyDoesNotHoldIt(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}, 2), make(chan struct{})
	r := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		entered <- struct{}{}
		if r.URL.Path == "/later" {
			<-leave
		}
		w.WriteHeader(http.StatusUnauthorized)
	}), service.WithDrain(0), service.WithStopTimeout(time.Hour), service.WithReadTimeouts(time.Hour, time.Hour))
	_, before := send(t, r.addr, slowRequest)
	_, after := send(t, r.addr, strings.Replace(slowRequest, "/c", "/later", 1))
	<-entered
	<-entered
	r.stop(t)
	require.Equal(t, http.StatusUnauthorized, readAnswer(t, before).StatusCode)
	close(leave)
	require.Equal(t, http.StatusUnauthorized, readAnswer(t, after).StatusCode)
	require.NoError(t, <-r.ended)
}

// A handler that has its body may finish.
func TestRun_HandlerFinishes(t *testing.T) {
	t.Parallel()
	entered, leave := make(chan struct{}), make(chan struct{})
	r := run(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		close(entered)
		<-leave
		_, _ = w.Write(text)
	}), service.WithDrain(0), service.WithStopTimeout(time.Hour))
	_, answer := send(t, r.addr, "POST /d HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nhi")
	<-entered
	r.stop(t)
	require.Eventually(t, func() bool {
		c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", r.addr)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	}, time.Minute, 10*time.Millisecond, "the listener closes")
	close(leave)
	resp := readAnswer(t, answer)
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, "hi", string(text))
	require.NoError(t, <-r.ended)
}

// A handler that does not end is aborted.
func TestRun_AbortsAtTheStopTimeout(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{})
	r := run(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(entered)
		<-r.Context().Done()
	}), service.WithDrain(0), service.WithStopTimeout(10*time.Millisecond))
	_, _ = send(t, r.addr, "GET /e HTTP/1.1\r\nHost: x\r\n\r\n")
	<-entered
	r.cancel()
	require.ErrorContains(t, <-r.ended, "WithStopTimeout")
}

// Clients that send nothing, or a byte now and then, are disconnected.
func TestRun_TimeLimitsOfAClient(t *testing.T) {
	t.Parallel()
	entered := make(chan struct{}, 1)
	r := run(t, readBody(entered), service.WithDrain(0), service.WithReadTimeouts(20*time.Millisecond, 40*time.Millisecond))
	for _, text := range []string{"", "POST /headers-never-end HTTP/1.1\r\nHost: x\r\n", slowRequest} {
		c, _ := send(t, r.addr, text)
		_, err := io.ReadAll(c)
		require.NoError(t, err, "the server closes the connection")
	}
	r.cancel()
	require.NoError(t, <-r.ended)
}
