package sender_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/deployhook/deployhook/sender"
)

// listen runs a TCP server whose connections f serves, counted from 1, and
// returns its address.
func listen(t testing.TB, f func(conn net.Conn, n int)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for n := 1; ; n++ {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				f(conn, n)
			}()
		}
	}()
	return l.Addr().String()
}

// readRequest reads one whole request and returns its body, or nil at the end
// of the connection.
func readRequest(conn net.Conn) []byte {
	r, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return nil
	}
	body, _ := io.ReadAll(r.Body)
	return body
}

// spew writes s again and again until the client closes the connection, and
// returns the number of bytes.
func spew(conn net.Conn, s string) (n int64) {
	chunk := []byte(strings.Repeat(s, 1+(16<<10)/len(s)))
	for {
		m, err := conn.Write(chunk)
		n += int64(m)
		if err != nil {
			return n
		}
	}
}

func flood1xx(conn net.Conn, _ int) {
	readRequest(conn)
	spew(conn, "HTTP/1.1 102 Processing\r\nX: "+strings.Repeat("x", 200)+"\r\n\r\n")
}

// TestHostileAnswers checks that each attempt ends soon, in the expected way,
// with a bounded record and bounded memory.
func TestHostileAnswers(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"
	for name, c := range map[string]struct {
		serve     func(conn net.Conn, n int)
		timeout   time.Duration
		outcome   sender.Outcome
		class     sender.Class
		truncated bool
		body      int
	}{
		"endless header": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head)
			spew(conn, "X-A: "+strings.Repeat("b", 1000)+"\r\n")
		}, 0, sender.Failed, sender.ClassProtocol, false, 0},
		"endless header line": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"X-A: ")
			spew(conn, "b")
		}, 0, sender.Failed, sender.ClassProtocol, false, 0},
		"endless status line": {func(conn net.Conn, _ int) {
			readRequest(conn)
			spew(conn, "b")
		}, 0, sender.Failed, sender.ClassProtocol, false, 0},
		"1xx flood": {flood1xx, 0, sender.Failed, sender.ClassProtocol, false, 0},
		"endless body": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"\r\n")
			spew(conn, "b")
		}, 0, sender.Delivered, sender.ClassNone, true, 16 << 10},
		"huge body": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Content-Length: 9000000000\r\n\r\n")
			spew(conn, "b")
		}, 0, sender.Delivered, sender.ClassNone, true, 16 << 10},
		"endless chunks": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Transfer-Encoding: chunked\r\n\r\n")
			spew(conn, "1\r\nb\r\n")
		}, 0, sender.Delivered, sender.ClassNone, true, 16 << 10},
		"drip-fed body": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"\r\n")
			drip(conn)
		}, 2 * time.Second, sender.Delivered, sender.ClassNone, true, -1},
		"drip-fed header": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"X-A: ")
			drip(conn)
		}, 2 * time.Second, sender.Failed, sender.ClassTimeout, false, 0},
		"long header": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"X-A: "+strings.Repeat("b", 65<<10)+"\r\nContent-Length: 0\r\n\r\n")
		}, 0, sender.Failed, sender.ClassProtocol, false, 0},
		"some 1xx": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 8)+head+"Content-Length: 0\r\n\r\n")
		}, 0, sender.Delivered, sender.ClassNone, false, 0},
		"many 1xx": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 103 Early Hints\r\n\r\n", 9)+head+"Content-Length: 0\r\n\r\n")
		}, 0, sender.Failed, sender.ClassProtocol, false, 0},
		"never answers": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.Copy(io.Discard, conn)
		}, 2 * time.Second, sender.Failed, sender.ClassTimeout, false, 0},
		"stops reading": {func(conn net.Conn, _ int) {
			_, _ = conn.Read(make([]byte, 1)) // an answer before the request ends the attempt at once
			drip(conn)
		}, 2 * time.Second, sender.Failed, sender.ClassTimeout, false, 0},
		"reset in the header": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head)
		}, 0, sender.Failed, sender.ClassReset, false, 0},
		"reset in the body": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, head+"Content-Length: 10\r\n\r\nhalf")
			_ = conn.(*net.TCPConn).SetLinger(0)
		}, 0, sender.Delivered, sender.ClassNone, true, -1},
		"closed at once": {func(net.Conn, int) {}, 0, sender.Failed, sender.ClassReset, false, 0},
		"switches protocols": {func(conn net.Conn, _ int) {
			readRequest(conn)
			_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			spew(conn, "b")
		}, 0, sender.Failed, sender.ClassStatus, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := "http://" + listen(t, c.serve)
			if c.timeout == 0 {
				c.timeout = 2 * patience // so that it is not what ends the attempt
			}
			begin := time.Now()
			a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(url), Signer: standard(t), Timeout: c.timeout})
			require.Less(t, time.Since(begin), patience)
			require.Equal(t, c.outcome, a.Outcome, "%v", a.Err)
			require.Equal(t, c.class, a.Class, "%v", a.Err)
			require.Equal(t, c.truncated, a.Truncated)
			if c.body >= 0 {
				require.Len(t, a.Body, c.body)
			}
		})
	}
}

// drip sends a byte now and then until the client is gone. It uses real time,
// because the tested deadline is that of real connections.
func drip(conn net.Conn) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if _, err := conn.Write([]byte("b")); err != nil {
			return
		}
	}
}

// TestAnswersAreReadToALimit checks that 64 KiB of a long answer are read. A
// shorter one is read to its end, so that the connection is used again.
func TestAnswersAreReadToALimit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		size   int
		reused bool
	}{{0, true}, {16 << 10, true}, {16<<10 + 1, true}, {60 << 10, true}, {80 << 10, false}} {
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = w.Write(bytes.Repeat([]byte("b"), c.size))
		})
		s := newSender(t)
		ep := sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)}
		first := attempt(t, s, ep)
		require.NoError(t, first.Err)
		require.Len(t, first.Body, min(c.size, 16<<10))
		require.Equal(t, c.size > 16<<10, first.Truncated)
		require.Equal(t, c.reused, attempt(t, s, ep).Reused, c.size)
	}
}

// TestMemoryIsBounded sends a thousand times the bytes that a record keeps.
func TestMemoryIsBounded(t *testing.T) {
	var sent atomic.Int64
	done := make(chan struct{})
	url := "http://" + listen(t, func(conn net.Conn, _ int) {
		defer close(done)
		readRequest(conn)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		sent.Add(spew(conn, "b"))
	})
	s := newSender(t)
	ep := sender.Endpoint{URL: sender.NewURL(url), Signer: standard(t)}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	require.NoError(t, attempt(t, s, ep).Err)
	runtime.ReadMemStats(&after)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "bytes allocated, all told")
	<-done
	require.Less(t, sent.Load(), int64(16<<20), "the connection was closed; the rest is the kernel's buffers")
}

// TestCompressionIsNotUndone checks that the sender neither asks for
// compression nor decodes it.
func TestCompressionIsNotUndone(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, err := z.Write(make([]byte, 8<<20))
	require.NoError(t, err)
	require.NoError(t, z.Close())
	server := serve(t, func(w http.ResponseWriter, r *http.Request) {
		require.NotContains(t, r.Header, "Accept-Encoding")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb.Bytes())
	})
	a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
	require.NoError(t, a.Err)
	require.Equal(t, bomb.Bytes(), a.Body)
	require.Equal(t, "gzip", a.ResponseHeader.Get("Content-Encoding"))
}

// TestRedirectsAreNotFollowed checks that body and signature go to no other
// address.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var elsewhere atomic.Int64
	trap := serve(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	for _, status := range []int{300, 301, 302, 303, 304, 305, 307, 308} {
		var here atomic.Int64
		server := serve(t, func(w http.ResponseWriter, _ *http.Request) {
			here.Add(1)
			w.Header().Set("Location", trap.URL)
			w.WriteHeader(status)
		})
		a := attempt(t, newSender(t), sender.Endpoint{URL: sender.NewURL(server.URL), Signer: standard(t)})
		require.Equal(t, sender.Failed, a.Outcome)
		require.Equal(t, status, a.Status)
		require.EqualValues(t, 1, here.Load())
	}
	require.Zero(t, elsewhere.Load())
}

// TestCancelLeavesNothing checks that a cancelled context ends an attempt at a
// hanging endpoint at once. TestMain checks that no goroutine is left.
func TestCancelLeavesNothing(t *testing.T) {
	t.Parallel()
	reached := make(chan struct{})
	url := "http://" + listen(t, func(conn net.Conn, _ int) {
		readRequest(conn)
		close(reached)
		_, _ = io.Copy(io.Discard, conn)
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-reached
		cancel()
	}()
	s := newSender(t)
	r, err := s.Deliver(ctx, sender.Endpoint{URL: sender.NewURL(url), Signer: standard(t)}, message())
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, sender.Canceled, r.Outcome)
	require.NotEmpty(t, r.Attempts[0].RequestHeader)
}
